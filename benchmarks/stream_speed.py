"""How fast streaming graphs are on one thread, by the length of their blocks.

    python -m benchmarks.stream_speed [--older <checkout>] [--blocks 20 40 60] [--rate 24000] [--profile]

A light voice with random weights, which costs what a trained one does, is exported with each length of block; with
--older also by another checkout of this project (git worktree add <folder> <commit>). The graphs take turns of some
seconds of sound, so that a busy machine hits all alike; the share is that of the processor's time. --profile adds
where the time of a block goes, by part and by operator. The bars of the project are printed too, JSON goes to --json.
The exit code is 1 if a bar is missed.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from benchmarks.options import BenchmarkParser, write_figures
from scripts.pipeline import ROOT
from utils.command_line import run_program, whole_number
from utils.console import emit, table
from utils.errors import ConfigError
from utils.verification.signals import speech_like
from utils.voice_file.runtime import open_session
from utils.voice_file.signature import AUDIO_INPUT, AUDIO_OUTPUT, NEXT_STATE_OUTPUT, STATE_INPUT

TURN_SECONDS = 4.0
WARM_UP = 20  # blocks
SLOWEST_MS = 6.0  # of 99 % of the blocks
BARS = {20: 0.12, 40: 0.08}  # real-time factor by milliseconds of a block
PROFILED = 200  # blocks
SHOWN = 16  # rows of a profile
# runs in both checkouts: names that the older one has, too
PROGRAM = """
import sys
from benchmarks.random_voices import random_voice
from pathlib import Path
from utils.audio.highpass import HighPass
from utils.export.finishing import save_graph
from utils.export.stream_graph import build_stream_graph, stream_converter
from utils.export.tracing import GraphOptions
from utils.voice_file.controls import ControlDefaults

folder, rate, *blocks = sys.argv[1:]
voice = random_voice("lite", "24k", 1, io_rate=int(rate))
voice.highpass = HighPass(50.0, int(rate))
for block in map(int, blocks):
    stream = stream_converter(voice, block_ms=block)
    defaults = ControlDefaults(index_rate=0.0)
    graph = build_stream_graph(stream, defaults=defaults, options=GraphOptions(), metadata={})
    save_graph(graph, Path(folder) / f"{block}.onnx")
"""


@dataclass(frozen=True)
class Row:
    """Figures of one graph.

    Attributes:
        name: whose graph, and of which blocks.
        processor_ms: median of the processor's time, which other work on the machine changes less.
        share: of the older graph's processor_ms; None without one.
        bar: of the real-time factor; None: there is none.
    """

    name: str
    median_ms: float
    p99_ms: float
    processor_ms: float
    real_time_factor: float
    share: float | None
    size_mb: float
    bar: float | None

    @property
    def missed(self) -> bool:
        """Whether it has a bar and misses it, or is too slow in 1 % of the blocks."""
        return self.bar is not None and not (self.real_time_factor <= self.bar and self.p99_ms <= SLOWEST_MS)


class Timed:
    """A streaming graph with the times of its blocks.

    Args:
        name: of the row.
        path: the graph.
        block_ms: length of its blocks.
        profile: whether onnxruntime writes down the time of each operator.
    """

    def __init__(self, name: str, path: Path, block_ms: int, *, profile: bool = False) -> None:
        self.name, self.path, self.block_ms = name, path, block_ms
        self.session = _profiled(path) if profile else open_session(path.read_bytes())
        sizes = {value.name: value.shape[1] for value in self.session.get_inputs() if value.name in _FED}
        self.block, self.state = sizes[AUDIO_INPUT], np.zeros((1, sizes[STATE_INPUT]), np.float32)
        rate = self.block * 1000 // block_ms
        self.sound = speech_like(rate, round(TURN_SECONDS * 1000 / block_ms) * self.block, 1).reshape(-1, self.block)
        self.seconds: list[float] = []
        self.processor: list[float] = []
        self.run(WARM_UP)
        self.seconds.clear()
        self.processor.clear()

    def run(self, count: int | None = None) -> None:
        """Convert blocks, all of a turn unless a count is given."""
        for block in self.sound[:count]:
            started, busy = time.perf_counter(), time.thread_time()
            feed = {AUDIO_INPUT: block[None], STATE_INPUT: self.state}
            _, self.state = self.session.run([AUDIO_OUTPUT, NEXT_STATE_OUTPUT], feed)
            self.processor.append(time.thread_time() - busy)
            self.seconds.append(time.perf_counter() - started)

    def row(self, older: "Timed | None", *, has_bar: bool) -> Row:
        """Return the figures, beside those of the older graph."""
        median, slow = (float(value) * 1000 for value in np.percentile(self.seconds, (50, 99)))
        share = None if older is None else self.processor_ms / older.processor_ms
        size, bar = self.path.stat().st_size / 1e6, BARS.get(self.block_ms) if has_bar else None
        return Row(self.name, median, slow, self.processor_ms, median / self.block_ms, share, size, bar)

    @property
    def processor_ms(self) -> float:
        """Median time of the processor for a block."""
        return float(np.median(self.processor)) * 1000


_FED = (AUDIO_INPUT, STATE_INPUT)


def export_graphs(checkout: Path, folder: Path, rate: int, blocks: Sequence[int]) -> dict[int, Path]:
    """Let a checkout export the voice; return the files by milliseconds of their blocks.

    Raises:
        ConfigError: if it cannot.
    """
    folder.mkdir()
    line = [sys.executable, "-c", PROGRAM, str(folder), str(rate), *map(str, blocks)]
    done = subprocess.run(line, cwd=checkout, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ConfigError(f"{checkout} exports no stream ({last}); give a checkout of this project")
    return {block: folder / f"{block}.onnx" for block in blocks}


def _profiled(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_profiling = True
    options.profile_file_prefix = str(path.with_suffix(""))
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def profile(path: Path, block_ms: int) -> dict[str, dict[str, tuple[float, int]]]:
    """Return microseconds and operators of a block, by operator and by part of the graph."""
    graph = Timed("", path, block_ms, profile=True)
    graph.run(PROFILED)
    events = json.loads(Path(graph.session.end_profiling()).read_text(encoding="utf-8"))
    spent: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        name = event.get("name", "")
        if event.get("cat") == "Node" and name.endswith("_kernel_time"):
            spent[name, event["args"]["op_name"]].append(event["dur"])
    found: dict[str, dict[str, list[float]]] = {"operator": defaultdict(list), "part": defaultdict(list)}
    for (name, operator), durations in spent.items():
        median = float(np.median(durations))  # on a busy machine a mean is that of the others' work
        found["operator"][operator].append(median)
        found["part"][_part(name)].append(median)
    return {kind: {name: (sum(each), len(each)) for name, each in sums.items()} for kind, sums in found.items()}


def _part(name: str) -> str:
    """Return the module that a node stands in: the first names of its path."""
    places = [place for place in name.split("/")[:-1] if place]
    return "/".join(places[:2]) or "the rest"


def measure(options: argparse.Namespace, folder: Path) -> list[Row]:
    """Return a row for each graph; print the profiles."""
    files = export_graphs(ROOT, folder / "present", options.rate, options.blocks)
    before = export_graphs(options.older, folder / "older", options.rate, options.blocks) if options.older else {}
    older = {block: Timed(f"older, {block} ms", path, block) for block, path in before.items()}
    present = {block: Timed(f"{block} ms", path, block) for block, path in files.items()}
    for _ in range(options.turns):
        for block in options.blocks:
            for graphs in (older, present):
                if block in graphs:
                    graphs[block].run()
    for path in (*before.values(), *files.values()) if options.profile else ():
        _show_profile(path)
    rows = [graph.row(None, has_bar=False) for graph in older.values()]
    return rows + [graph.row(older.get(block), has_bar=True) for block, graph in present.items()]


def _show_profile(path: Path) -> None:
    for kind, sums in profile(path, int(path.stem)).items():
        rows: list[list[Any]] = [[name, *values] for name, values in sums.items()]
        rows.sort(key=lambda row: -row[1])
        rest = rows[SHOWN:]
        shown = [*rows[:SHOWN], ["others", sum(row[1] for row in rest), sum(row[2] for row in rest)]]
        shown.append(["all", sum(row[1] for row in rows), sum(row[2] for row in rows)])
        emit(table([[name, round(spent), number] for name, spent, number in shown],
                   (f"{path.parent.name} {path.stem} ms, {kind}", "us a block", "operators")))  # fmt: skip


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = BenchmarkParser("stream_speed", __doc__)
    parser.add_argument("--older", type=Path, help="another checkout of this project, whose graphs are measured too")
    parser.add_argument("--blocks", type=whole_number, nargs="+", default=[20, 40, 60], help="milliseconds of a block")
    parser.add_argument("--rate", type=whole_number, default=24000, help="samples per second of the sound device")
    parser.add_argument("--turns", type=whole_number, default=10, help="turns of each graph, of four seconds")
    parser.add_argument("--profile", action="store_true", help="show where the time of a block goes")
    parser.add_json()
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 1 if a bar is missed."""
    options = parse(arguments)
    return run_program("stream_speed", lambda: report(options))


def report(options: argparse.Namespace) -> int:
    """Measure and print the table; return the exit code."""
    with tempfile.TemporaryDirectory() as scratch:
        rows = measure(options, Path(scratch))
    headers = ("graph", "median ms", "p99 ms", "processor ms", "real-time factor", "of the older", "MB", "bar", "")
    cells = [[*asdict(row).values(), "missed" if row.missed else ""] for row in rows]
    emit(table([["-" if value is None else value for value in line] for line in cells], headers))
    emit(f"99 % of the blocks within {SLOWEST_MS:g} ms; onnxruntime {onnxruntime.__version__}")
    write_figures(options, "stream_speed", [asdict(row) for row in rows])
    return int(any(row.missed for row in rows))


if __name__ == "__main__":
    sys.exit(main())
