"""Compare the pitch network of streaming graphs with pitch=builtin, which has all its look-ahead.

python -m benchmarks.streaming_pitch [--corpus FOLDER] [--weights FILE] [--clips 10]
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional

from benchmarks.options import CORPORA, BenchmarkParser, write_figures
from benchmarks.pitch import build_conditions
from benchmarks.pitch_measures import Track, measure, show
from utils.audio.frames import FEATURE_HOP
from utils.command_line import run_program, whole_number
from utils.features.pitch.stream_pitch import LOOK_AHEAD, WEIGHTS, StreamPitch
from utils.features.pitch.swift import SwiftPitch, builtin_tracker

SECONDS = 4.0  # of each recording at most


def tracked(student: StreamPitch) -> Track:
    """Return the network as a function from audio [F * 160] to f0_hz [F] of the same frames."""

    early = -LOOK_AHEAD % FEATURE_HOP
    late = (LOOK_AHEAD + early) // FEATURE_HOP

    @torch.no_grad()
    def track(audio: np.ndarray) -> np.ndarray:
        padded = functional.pad(torch.from_numpy(audio)[None], (early, LOOK_AHEAD))
        return student(padded)[0, late:].numpy()

    return track


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = BenchmarkParser("streaming_pitch", __doc__)
    parser.add_argument("--corpus", type=Path, default=CORPORA, help="folder of speech (default: shared corpora)")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="of the network (default: the shipped)")
    parser.add_argument("--clips", type=whole_number, default=10, help="recordings, of as many speakers as there are")
    parser.add_json()
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = parse(arguments)
    return run_program("streaming_pitch", lambda: compare(options))


def compare(options: argparse.Namespace) -> int:
    """Measure both trackers and print the table; return the exit code."""
    torch.set_num_threads(1)
    student = StreamPitch(SwiftPitch(), options.weights)
    conditions = build_conditions(options.corpus.resolve(), options.clips, SECONDS)
    tracks = {"all look-ahead": builtin_tracker().track, "stream": tracked(student)}
    results = {name: measure(track, conditions) for name, track in tracks.items()}
    show(results)
    write_figures(options, "streaming_pitch", {name: asdict(result) for name, result in results.items()})
    return 0


if __name__ == "__main__":
    sys.exit(main())
