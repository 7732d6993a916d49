"""Judge one state of a run: convert the fixed sounds with its averaged generator and measure what came out."""

import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from utils.audio.io import load_audio, save_audio
from utils.evaluation.evaluation import evaluate, means_of
from utils.evaluation.evaluators import Evaluators
from utils.evaluation.figures import is_measured, terms_of
from utils.evaluation.score import SCORE, with_scores
from utils.files import atomic_write_json
from utils.run_evaluation.material import HELD_OUT, STRANGERS, TARGET, Material
from utils.run_evaluation.torch_voice import TorchVoice
from utils.training.checkpoints import voice_of
from utils.training.evaluation_folder import FIGURES, MATERIAL, EvaluationFolder, HeardStranger, JudgedState
from utils.voice_file.controls import ControlDefaults


def judge_state(folder: EvaluationFolder, step: int, material: Material, evaluators: Evaluators) -> JudgedState:
    """Judge a state that waits, and write what was found beside it.

    Args:
        folder: of the run's evaluation.
        step: of the state.
        material: the sounds.
        evaluators: what is installed.
    Raises:
        FormatError: if the state cannot be read.
        ConfigError: if it cannot convert.
    """
    work = folder.folder / f".making_{step:08d}"
    shutil.rmtree(work, ignore_errors=True)
    found = voice_of(folder.run, folder.waiting_path(step), material.sample_rate, for_export=False)
    voice = TorchVoice(found.converter, ControlDefaults(speaker_id=material.speaker_id))
    for kind in (HELD_OUT, STRANGERS):
        for path in material.sounds(kind):
            audio = load_audio(path, material.sample_rate)
            converted = voice.run(audio, {"pitch_shift": material.shifts.get(path.stem, 0.0)})
            save_audio(work / kind / path.name, converted, material.sample_rate)
    sources = [*material.sounds(HELD_OUT), *material.sounds(STRANGERS)]
    target = material.sounds(TARGET) or material.sounds(HELD_OUT)
    evaluation = evaluate(work, sources, target, evaluators, below=material.folder)
    figures, score = _figures(evaluation.files, evaluation.means)
    sounds = [
        HeardStranger(
            path.stem,
            f"Stranger {number + 1}",
            f"{MATERIAL}/{STRANGERS}/{path.name}",
            f"{folder.found_path(step).name}/{STRANGERS}/{path.name}",
        )
        for number, path in enumerate(material.sounds(STRANGERS))
    ]
    state = JudgedState(step, figures, material.identity, score, evaluation.missing, tuple(sounds))
    shutil.rmtree(work / HELD_OUT, ignore_errors=True)  # the training keeps held-out clips by itself
    atomic_write_json(work / FIGURES, state.to_plain())
    work.replace(folder.found_path(step))
    return state


def _figures(
    rows: Sequence[Mapping[str, Any]], means: Mapping[str, float | None]
) -> tuple[dict[str, float], float | None]:
    """Return the figures that a run draws, those of strangers by their own names, and the score of the strangers."""
    by_kind = {
        kind: [dict(row) for row in rows if row["file"].startswith(f"{kind}/")] for kind in (HELD_OUT, STRANGERS)
    }
    strangers = means_of(by_kind[STRANGERS])
    of_target = {key: value for key, value in means.items() if key not in strangers}
    terms = terms_of(with_scores(by_kind[STRANGERS], {**strangers, **of_target}), SCORE)
    score = terms.value if terms else None
    figures = {SCORE: score} if score is not None else {}
    figures |= {key: value for key, value in strangers.items() if is_measured(key) and value is not None}
    for key, value in means_of(by_kind[HELD_OUT]).items():
        if is_measured(key) and value is not None and not key.endswith("_converted_to_source"):
            figures[f"{HELD_OUT}_{key}"] = value
    return figures, score
