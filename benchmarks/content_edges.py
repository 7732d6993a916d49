"""What the front end of a voice hears beside a cut, against what it hears of the uncut recording.

    python -m benchmarks.content_edges [--sources FOLDER] [--weights FILE ...] [--milliseconds 600]

Windows of each recording that begin at any sample are heard alone: content (cosine), pitch (voiced frames found
unvoiced) and loudness (decibels off), by frames of 10 ms from the cut, before its end and after its start. Several
weights stand side by side; pitch and loudness are those of this checkout.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.options import BenchmarkParser, check_recordings, write_figures
from benchmarks.sources import pick_sources
from utils.audio.frames import FEATURE_HOP, FEATURE_RATE, pad_to_frames
from utils.audio.io import load_audio
from utils.command_line import run_program, whole_number
from utils.console import emit, table
from utils.features.content.builtin import BuiltinContent
from utils.features.frontend import Analysis, AnalysisFrontend
from utils.features.pitch.swift import builtin_tracker

FRAMES_FROM_CUT = (0, 1, 3, 5, 10, 20)
AUDIBLE_DB = -50.0  # softer frames of the recording, at its own level, are pauses: their content and level say nothing
NUM_SOURCES, NUM_WINDOWS = 12, 12
LEVEL = 0.07  # root mean square, about that of speech at -23 LUFS


class Edge(NamedTuple):
    """Sums over windows for one distance from a cut.

    Attributes:
        cosine: of content, for each audible frame.
        unvoiced: 1 for a voiced frame of the recording that is unvoiced in the window, else 0.
        off_db: of loudness, for each audible frame.
    """

    cosine: list[float]
    unvoiced: list[float]
    off_db: list[float]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = parse(arguments)
    return run_program("content_edges", lambda: measure(options))


def measure(options: argparse.Namespace) -> int:
    """Print the tables of all weights; return the exit code."""
    check_recordings(options)
    torch.set_num_threads(1)
    tracker = builtin_tracker()
    figures: dict[str, Any] = {}
    for weights in options.weights:
        frontend = AnalysisFrontend(BuiltinContent(weights=weights), tracker, FEATURE_RATE).eval()
        figures[weights] = {
            where: {distance: means(edge) for distance, edge in edges.items()}
            for where, edges in edges_of(frontend, options).items()
        }
    show(figures)
    write_figures(options, "content_edges", figures)
    return 0


@torch.no_grad()
def edges_of(frontend: AnalysisFrontend, options: argparse.Namespace) -> dict[str, dict[int, Edge]]:
    """Return, before a cut and after a start, what windows of the recordings hear by the distance in frames."""
    found: dict[str, dict[int, Edge]] = {
        where: {distance: Edge([], [], []) for distance in FRAMES_FROM_CUT} for where in ("before", "after")
    }
    length = options.milliseconds * FEATURE_RATE // 1000 // FEATURE_HOP * FEATURE_HOP
    rng = np.random.default_rng(0)
    for _, path in pick_sources(options.sources, options.source_count):
        audio = load_audio(path, FEATURE_RATE)
        audio = audio * np.float32(LEVEL / max(1e-4, float(np.sqrt(np.mean(np.square(audio))))))
        for start in rng.integers(0, max(1, len(audio) - length), options.windows):
            # the frames of the recording lie where those of the window do
            whole = torch.from_numpy(pad_to_frames(audio[start % FEATURE_HOP :], FEATURE_HOP))[None]
            first = int(start) // FEATURE_HOP
            part = whole[:, first * FEATURE_HOP :][:, :length]
            count = part.shape[1] // FEATURE_HOP
            compare(found, frontend(part), cut(frontend(whole), first, count))
    return found


def cut(analysis: Analysis, first: int, count: int) -> Analysis:
    """Return some frames of an analysis."""
    return Analysis(*(value[:, first : first + count] for value in analysis))


def compare(found: dict[str, dict[int, Edge]], window: Analysis, whole: Analysis) -> None:
    """Enter what a window and the recording hear of the same frames."""
    cosine = torch.nn.functional.cosine_similarity(window.content, whole.content, dim=-1)[0]
    count = len(cosine)
    for where, edges in found.items():
        for distance, edge in edges.items():
            if distance < count:
                enter(edge, count - 1 - distance if where == "before" else distance, cosine, window, whole)


def enter(edge: Edge, index: int, cosine: Tensor, window: Analysis, whole: Analysis) -> None:
    """Enter one frame."""
    level = float(whole.loudness_db[0, index])
    if level > AUDIBLE_DB:
        edge.cosine.append(float(cosine[index]))
        edge.off_db.append(abs(float(window.loudness_db[0, index]) - level))
    if whole.f0_hz[0, index] > 0:
        edge.unvoiced.append(float(window.f0_hz[0, index] == 0))


def means(edge: Edge) -> dict[str, float | None]:
    """Return the mean of each list; None of an empty one."""
    return {name: float(np.mean(values)) if values else None for name, values in edge._asdict().items()}


def show(figures: dict[str, Any]) -> None:
    """Print a table of content for all weights, and one of pitch and loudness."""
    rows = []
    for weights, sides in figures.items():
        for where, edges in sides.items():
            rows.append([f"content, {weights}, {where}", *(_cell(edge["cosine"]) for edge in edges.values())])
    first = next(iter(figures.values()))
    for name, title in (("unvoiced", "voiced found unvoiced"), ("off_db", "loudness off, dB")):
        for where, edges in first.items():
            rows.append([f"{title}, {where}", *(_cell(edge[name]) for edge in edges.values())])
    emit(table(rows, ["frames from the cut", *map(str, FRAMES_FROM_CUT)]))


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = BenchmarkParser("content_edges", __doc__)
    parser.add_sources(NUM_SOURCES)
    parser.add_argument("--weights", nargs="+", default=["content_builtin.safetensors"], help="encoders, side by side")
    parser.add_argument("--milliseconds", type=whole_number, default=600, help="length of a window (default: 600)")
    parser.add_argument("--windows", type=whole_number, default=NUM_WINDOWS, help="windows of each recording")
    parser.add_json()
    return parser.parse_args(arguments)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
