"""Evaluate voices of any kind over the same sources: python test_model.py evaluate=<voice> sources=.. target=.."""

import logging
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.audio.listing import list_audio, spread
from utils.config.test_model import EvaluateJob
from utils.console import table, utf8_text
from utils.errors import ConfigError
from utils.evaluation.evaluation import Evaluation, evaluate
from utils.evaluation.evaluators import Evaluators, load_evaluators
from utils.evaluation.figures import Difference, describe_figure, differences_of, intervals_of, is_shown, terms_of
from utils.evaluation.leaks import LeakCheck, identity_checks, sound_checks
from utils.evaluation.pairing import pair_files
from utils.evaluation.score import SCORE, with_scores
from utils.evaluation.sweep import Sweep, sweep_voice
from utils.evaluation.voices import Voice, convert_sources, open_voice
from utils.files import atomic_write_json, check_new_file
from utils.inference.session import VoiceSession

EVALUATION_FILE = "evaluation.json"
FOLDER = Path("evaluated")
SCHEMA_VERSION = 1
log = logging.getLogger(__name__)


@dataclass
class Evaluated:
    """A voice with what was found of it.

    Attributes:
        voice: what was evaluated.
        converted: folder of its conversions.
        evaluation: its figures; each row also has "source", "converted" and "score".
        leaks: what gets through that must not.
    """

    voice: Voice
    converted: Path
    evaluation: Evaluation
    leaks: list[LeakCheck]


def run_evaluation(job: EvaluateJob, announce: Callable[[str], None]) -> dict[str, Any]:
    """Evaluate one or two voices and write evaluation.json.

    Args:
        job: what to do.
        announce: is given a line of text now and then.
    Returns:
        The content of the file, and "report", its place.
    Raises:
        ConfigError: if a path is no voice, or a setting does not fit it.
        DataError: if there are no sources, no recordings of the target, or nothing could be converted.
    """
    started = time.monotonic()
    root = job.source_folder
    sources = spread(list_audio(root), job.most_sources)
    target = spread(list_audio(job.target_folder), job.most_target)
    place = job.report or _place_beside(job.voices[0])
    check_new_file(place, "report", [*sources, *target])
    evaluators = load_evaluators(job.evaluators, language=job.language)
    with tempfile.TemporaryDirectory(prefix="evaluation-") as work:
        voices = [open_voice(path, Path(work) / str(number)) for number, path in enumerate(job.voices)]
        _rename_twins(voices)
        found = [_evaluate_voice(job, voice, sources, target, evaluators, announce) for voice in voices]
        sweep = _swept(job, found[0], sources, target, evaluators, announce) if job.sweep else None
    keys = [key for key in found[0].evaluation.means if is_shown(key)] + [SCORE]
    differences = differences_of(found[0].evaluation.files, found[1].evaluation.files, keys) if found[1:] else {}
    content: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "voices": [_plain(item) for item in found],
        "differences": {key: value._asdict() for key, value in differences.items()},
        "sweep": sweep.as_json() if sweep else None,
        "target": [utf8_text(str(path.absolute())) for path in target],
        "seconds": round(time.monotonic() - started, 1),
    }
    atomic_write_json(place, content)
    return {**content, "report": str(place)}


def evaluation_text(content: dict[str, Any]) -> str:
    """Return what a person is told of an evaluation."""
    voices, differences = content["voices"], content["differences"]
    rows = [_row(key, voices, differences.get(key)) for key in voices[0]["means"] if is_shown(key) or key == SCORE]
    heads = ["value", "95 % of chance"] if len(voices) == 1 else [voices[0]["name"], voices[1]["name"], "difference"]
    parts = [table(rows, [f"mean of {len(voices[0]['files'])} files", *heads])]
    missing = voices[0]["missing"]
    if missing:
        parts.append(f"not installed: {', '.join(missing)}; type: {next(iter(missing.values()))}")
    for voice in voices:
        parts += [f"{voice['name']} failed on {row['file']}: {row['reason']}" for row in voice["failures"]]
        leaks = [[{"good": "PASS", "bad": "FAIL"}.get(row["outcome"], "-"), row["name"], row["detail"]]
                 for row in voice["leaks"]]  # fmt: skip
        parts += [table(leaks, ["", f"leaks of {voice['name']}", ""])] if leaks else []
    if differences:
        real = sum(value["is_real"] for value in differences.values())
        parts.append(f"{real} of {len(differences)} differences are more than noise (paired over the files, 5 %)")
    if content["sweep"]:
        parts.append(content["sweep"]["recommendation"])
    return "\n\n".join([*parts, f"{content['seconds']:.0f} s; report: {content['report']}"])


def _evaluate_voice(
    job: EvaluateJob,
    voice: Voice,
    sources: Sequence[Path],
    target: Sequence[Path],
    evaluators: Evaluators,
    announce: Callable[[str], None],
) -> Evaluated:
    root = job.source_folder
    converted = voice.path
    if voice.graph is not None:
        converted = (job.output or FOLDER) / voice.name
        announce(f"{voice.name}: converting {len(sources)} sources -> {converted}")
        convert_sources(voice, sources, root, converted, job.controls, step=job.pitch_step)
    elif job.controls or job.is_pitch_automatic or job.sweep:
        raise ConfigError(
            f"{voice.path} holds converted files, which no setting changes; leave sweep= and controls out"
        )
    announce(f"{voice.name}: evaluating")
    evaluation = evaluate(converted, sources, target, evaluators, below=root)
    pairs = pair_files(converted, sources, root).found
    _complete(evaluation, converted, pairs)
    leaks: list[LeakCheck] = []
    if job.leaks:
        leaks = identity_checks(evaluators, pairs)
        if voice.graph is not None:
            controls = {key: value for key, value in job.controls.items() if key != "pitch_shift"}
            leaks += sound_checks(VoiceSession.open(voice.graph), target, controls)
    return Evaluated(voice, converted, evaluation, leaks)


def _complete(evaluation: Evaluation, converted: Path, pairs: Sequence[tuple[Path, Path]]) -> None:
    """Add to each row its files and the score, and to the means the latter."""
    files = {utf8_text(output.relative_to(converted).with_suffix("").as_posix()): (source, output)
             for source, output in pairs}  # fmt: skip
    for row in evaluation.files:
        source, output = files[row["file"]]
        row["source"], row["converted"] = (utf8_text(str(path.absolute())) for path in (source, output))
    evaluation.files = with_scores(evaluation.files, evaluation.means)
    terms = terms_of(evaluation.files, SCORE)
    evaluation.means |= {SCORE: terms.value} if terms else {}


def _swept(
    job: EvaluateJob,
    found: Evaluated,
    sources: Sequence[Path],
    target: Sequence[Path],
    evaluators: Evaluators,
    announce: Callable[[str], None],
) -> Sweep:
    with tempfile.TemporaryDirectory(prefix="sweep-") as work:
        return sweep_voice(
            found.voice, sources, job.source_folder, target, evaluators, Path(work), job.controls, announce
        )


def _plain(found: Evaluated) -> dict[str, Any]:
    evaluation = found.evaluation
    shown = [key for key in evaluation.means if is_shown(key) or key == SCORE]
    return {
        "name": found.voice.name,
        "path": utf8_text(str(found.voice.path)),
        "means": evaluation.means,
        "intervals": {key: list(ends) for key, ends in intervals_of(evaluation.files, shown).items()},
        "files": evaluation.files,
        "missing": evaluation.missing,
        "left_out": evaluation.left_out,
        "failures": [{"file": utf8_text(file), "reason": utf8_text(why)} for file, why in found.voice.failures]
        + evaluation.failures,
        "leaks": [check._asdict() for check in found.leaks],
    }


def _row(key: str, voices: list[dict[str, Any]], difference: dict[str, Any] | None) -> list[object]:
    name = "score (closeness - errors)" if key == SCORE else describe_figure(key)[0]
    values = [_shown(voice["means"].get(key)) for voice in voices]
    if len(voices) == 1:
        ends = voices[0]["intervals"].get(key)
        return [name, *values, f"{ends[0]:.3f} to {ends[1]:.3f}" if ends else ""]
    return [name, *values, _difference_text(Difference(**difference)) if difference else ""]


def _difference_text(difference: Difference) -> str:
    word = "more than noise" if difference.is_real else "within noise"
    return f"{difference.mean:+.3f} ({difference.low:+.3f} to {difference.high:+.3f}), {word}"


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _place_beside(path: Path) -> Path:
    return (path if path.is_dir() else path.parent) / EVALUATION_FILE


def _rename_twins(voices: list[Voice]) -> None:
    if len(voices) == 2 and voices[0].name == voices[1].name:
        voices[0].name, voices[1].name = f"{voices[0].name}_1", f"{voices[1].name}_2"
