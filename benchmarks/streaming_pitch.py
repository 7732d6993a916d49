"""Compare the pitch network of streaming graphs with pitch=builtin, which has all its look-ahead.

python -m benchmarks.streaming_pitch [--corpus FOLDER] [--weights FILE] [--clips 10]
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional

from benchmarks.options import count
from benchmarks.pitch import CORPORA, Result, Track, build_conditions, measure, show
from utils.audio.frames import FEATURE_HOP
from utils.errors import WorkbenchError
from utils.features.pitch.stream_pitch import LOOK_AHEAD, WEIGHTS, StreamPitch
from utils.features.pitch.swift import SwiftPitch, builtin_tracker


def tracked(student: StreamPitch) -> Track:
    """Return the network as a function from audio [F * 160] to f0_hz [F] of the same frames."""

    early = -LOOK_AHEAD % FEATURE_HOP
    late = (LOOK_AHEAD + early) // FEATURE_HOP

    @torch.no_grad()
    def track(audio: np.ndarray) -> np.ndarray:
        padded = functional.pad(torch.from_numpy(audio)[None], (early, LOOK_AHEAD))
        return student(padded)[0, late:].numpy()

    return track


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streaming_pitch", description=(__doc__ or "")[:90])
    parser.add_argument("--corpus", type=Path, default=CORPORA, help="folder of speech")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="of the network (default: the shipped)")
    parser.add_argument("--clips", type=count, default=10, help="recordings to compare on")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="streaming_pitch: %(message)s")
    torch.set_num_threads(1)
    try:
        student = StreamPitch(SwiftPitch(), options.weights)
        conditions = build_conditions(options.corpus.resolve(), options.clips, 4.0)
    except WorkbenchError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    results: dict[str, Result] = {"all look-ahead": measure(builtin_tracker().track, conditions)}
    results["stream"] = measure(tracked(student), conditions)
    show(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
