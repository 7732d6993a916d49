"""What each figure of an evaluation is for known cases: the target itself, strangers, and the target behind noise.

    python -m benchmarks.evaluator_scales [--target DIR] [--sources DIR]

Half of the target's clips are the reference, the other half are judged: as they are, and with white noise. Strangers
are judged as they are. No voice is involved: these are the points by which the figures of one are read.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.options import BenchmarkParser, check_recordings, write_figures
from benchmarks.sources import pick_sources
from utils.audio.io import load_audio, save_audio
from utils.audio.listing import list_audio, spread
from utils.command_line import run_program
from utils.console import emit, table
from utils.evaluation.evaluation import Evaluation, evaluate
from utils.evaluation.evaluators import Evaluators, load_evaluators
from utils.evaluation.figures import describe_figure, is_measured, terms_of

RATE, SECONDS = 16000, 5.0
NOISES_DB = (20, 10, 5)


def cut(paths: Sequence[Path], folder: Path, snr_db: float | None = None) -> list[Path]:
    """Write the first seconds of recordings, with white noise so far below each where that is asked for."""
    written = []
    for number, path in enumerate(paths):
        audio = load_audio(path, RATE, duration_seconds=SECONDS)
        if snr_db is not None:
            noise = np.random.default_rng(number).standard_normal(len(audio)).astype(np.float32)
            audio = audio + noise * np.sqrt(np.mean(audio**2)) * 10 ** (-snr_db / 20)
        written.append(folder / f"{number:02d}.wav")
        save_audio(written[-1], audio, RATE)
    return written


def cases(
    target: Sequence[Path], strangers: Sequence[Path], evaluators: Evaluators, work: Path
) -> dict[str, Evaluation]:
    """Evaluate every case against the first half of the target's clips."""
    reference, own = cut(target[::2], work / "reference"), cut(target[1::2], work / "own")
    others = cut(strangers, work / "strangers")
    found = {
        "the target": evaluate(work / "own", own, reference, evaluators, below=work / "own"),
        "strangers": evaluate(work / "strangers", others, reference, evaluators, below=work / "strangers"),
    }
    for snr_db in NOISES_DB:
        folder = work / f"noise_{snr_db}"
        cut(target[1::2], folder, snr_db)
        found[f"{snr_db} dB of noise"] = evaluate(folder, own, reference, evaluators, below=work / "own")
    return found


def rows_of(found: dict[str, Evaluation]) -> list[list[object]]:
    """Return mean and standard deviation over clips, by figure and case; figures of a clip and itself are left out."""
    first = next(iter(found.values()))
    rows: list[list[object]] = []
    for key in (key for key in first.means if is_measured(key)):
        shown = [_cell(found[case], key, of_itself=case in ("the target", "strangers")) for case in found]
        rows.append([describe_figure(key)[0], *shown])
    return rows


def _cell(evaluation: Evaluation, key: str, *, of_itself: bool) -> str:
    says_something = key.endswith(("converted_to_target", "_converted"))
    terms = terms_of(evaluation.files, key)
    if terms is None or (of_itself and not says_something):
        return ""
    each = terms.numerators / np.maximum(terms.denominators, 1e-12)
    return f"{terms.value:.3f} ± {each.std():.3f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = BenchmarkParser("evaluator_scales", __doc__)
    parser.add_target()
    parser.add_sources(20)
    parser.add_evaluators()
    parser.add_json()
    parser.add_argument("--target-count", type=int, default=24, help="clips of the target, half of them the reference")
    options = parser.parse_args(arguments)
    return run_program("evaluator_scales", lambda: measure(options))


def measure(options: argparse.Namespace) -> int:
    """Print the table."""
    check_recordings(options)
    target = spread(list_audio(options.target), options.target_count)
    strangers = [path for _, path in pick_sources(options.sources, options.source_count)]
    evaluators = load_evaluators(options.evaluators, language=options.language)
    with tempfile.TemporaryDirectory(prefix="scales-") as work:
        found = cases(target, strangers, evaluators, Path(work))
    emit(table(rows_of(found), ["mean ± deviation of a clip", *found]))
    for name, command in evaluators.missing.items():
        emit(f"{name}: not installed; type: {command}")
    write_figures(options, "evaluator_scales", {case: item.as_json() for case, item in found.items()})
    return 0


if __name__ == "__main__":
    sys.exit(main())
