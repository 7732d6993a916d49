"""Compare pitch trackers on sound whose pitch is known.

    python -m benchmarks.pitch [--corpus FOLDER] [--clips 16] [--seconds 6] [--trackers NAME ...] [--json FILE]

Recordings of many speakers are spoken again by the WORLD vocoder with a known pitch (clean, with white noise, moved by
an octave), and notes of 80 to 900 Hz are sung with and without vibrato. Beside the shipped tracker, in PyTorch and as
ONNX, stand those that are installed here.

What the figures mean stands in benchmarks/pitch_measures.py.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from benchmarks.bars import Bar, plain_bars, show_bars
from benchmarks.known_pitch import VIBRATO_CENTS, Sound, add_noise, choose_recordings, describe_voice, sing, speak
from benchmarks.machine import least_factor
from benchmarks.options import CORPORA, BenchmarkParser, write_figures
from benchmarks.pitch_measures import Result, difference, measure, show
from benchmarks.pitch_trackers import OURS, OURS_ONNX, TRACKERS, load_trackers
from utils.command_line import positive_number, run_program, whole_number
from utils.console import emit
from utils.errors import DataError
from utils.features.pitch.base import MIN_F0_HZ

SEED = 0
SAME_CENTS = 1.0  # between two runtimes
log = logging.getLogger(__name__)


def build_conditions(corpus: Path, num_clips: int, max_seconds: float) -> dict[str, list[Sound]]:
    """Synthesise all sounds.

    Raises:
        DataError: if the corpus is absent or empty.
    """
    if not corpus.is_dir():
        raise DataError(f"{corpus} is absent; give a folder of speech with --corpus")
    chosen = choose_recordings(corpus, num_clips, SEED)
    log.info("recordings: %s", ", ".join(str(path.relative_to(corpus)) for path in chosen))
    voices = [describe_voice(path, max_seconds) for path in chosen]
    clean = [speak(voice) for voice in voices]
    return {
        "clean": clean,
        "20 dB noise": [add_noise(sound, 20.0, index) for index, sound in enumerate(clean)],
        "10 dB noise": [add_noise(sound, 10.0, index) for index, sound in enumerate(clean)],
        "octave up": [speak(voice, 2.0) for voice in voices],
        "octave down": [_in_range(speak(voice, 0.5)) for voice in voices],
        "sung": [sing(0.0, SEED), sing(VIBRATO_CENTS, SEED)],
    }


def _in_range(sound: Sound) -> Sound:
    """Leave out what is lower than trackers are asked for."""
    too_low = (sound.f0_hz > 0) & (sound.f0_hz < MIN_F0_HZ)
    return Sound(sound.audio, np.where(too_low, np.nan, sound.f0_hz))


def bars(ours: Result, difference_cents: float, num_alone: int) -> list[Bar]:
    """Return the bars of the shipped tracker; gross errors and false voicing are those of the worst condition."""
    worst_gross = max(figures.gross_errors or 0.0 for figures in ours.conditions.values())
    worst_voicing = max(figures.false_voicing or 0.0 for figures in ours.conditions.values())
    return [
        Bar("accuracy, clean", ours.conditions["clean"].accuracy, 0.80, True),
        Bar("accuracy, 10 dB noise", ours.conditions["10 dB noise"].accuracy, 0.77, True),
        Bar("gross errors, worst condition", worst_gross, 0.01, False),
        Bar("false voicing, worst condition", worst_voicing, 0.02, False),
        Bar("real-time factor, one thread", ours.real_time_factor, 0.01, False),
        Bar("PyTorch to ONNX, cents", difference_cents, SAME_CENTS, False),
        Bar("PyTorch to ONNX, frames voiced in one alone", num_alone, 0, False),
    ]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = BenchmarkParser("pitch", __doc__)
    parser.add_argument("--corpus", type=Path, default=CORPORA, help="folder of speech (default: shared corpora)")
    parser.add_argument("--clips", type=whole_number, default=16, help="recordings, of as many speakers as there are")
    parser.add_argument("--seconds", type=positive_number, default=6.0, help="of each recording at most")
    parser.add_argument("--trackers", nargs="+", default=TRACKERS, choices=TRACKERS, help="only these; harvest is slow")
    parser.add_json()
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 1 if the shipped tracker misses a bar."""
    options = parse(arguments)
    return run_program("pitch", lambda: compare(options))


def compare(options: argparse.Namespace) -> int:
    """Measure all trackers, print the tables; return the exit code."""
    torch.set_num_threads(1)
    trackers = load_trackers(options.trackers)
    conditions = build_conditions(options.corpus.resolve(), options.clips, options.seconds)
    results = {name: measure(track, conditions) for name, track in trackers.items()}
    show(results)
    reached: list[Bar] = []
    machine = None
    if OURS in trackers:
        machine = least_factor(trackers[OURS])
        emit(f"\n{machine}")
        reached = bars(results[OURS], *difference(trackers[OURS], trackers[OURS_ONNX], conditions))
        emit()
        show_bars(reached)
    plain = {name: asdict(result) for name, result in results.items()}
    write_figures(options, "pitch", {"trackers": plain, "bars": plain_bars(reached), "machine": machine})
    return 0 if all(bar.is_reached for bar in reached) else 1


if __name__ == "__main__":
    sys.exit(main())
