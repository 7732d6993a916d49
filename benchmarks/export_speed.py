"""How fast and how large exported voices are, on one thread.

    python -m benchmarks.export_speed [--voice <voice>.onnx] [--public <RVC-WebUI's code>] [--lite model.channels=64]

Rows: the given voice (without one a lite voice with random weights, which costs the same and whose sizes --lite
changes), its streaming graph if it lies beside it as `*_stream.onnx` or the weights are random, the generator of
rvc_v2_48k with random weights behind the same front end, and, with --public, RVC's own generator in PyTorch, alone. The
graphs take turns, so that a busy machine hits all alike. The bars of the project are printed too; JSON
goes to --json. The exit code is 1 if the voice misses a bar.
"""

import argparse
import importlib
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from benchmarks.options import BenchmarkParser, write_figures
from benchmarks.random_voices import export, export_stream, random_voice
from utils.command_line import run_program, whole_number
from utils.console import emit, table
from utils.errors import ConfigError
from utils.verification.signals import speech_like
from utils.voice_file.names import parse_file_name
from utils.voice_file.runtime import open_session
from utils.voice_file.signature import AUDIO_INPUT, AUDIO_OUTPUT

WHOLE_SECONDS, BLOCK_SECONDS, STREAM_SECONDS = 10.0, 0.1, 0.02
WARM_UP = 5
FEW, MANY = 2, 4  # speakers of two voices, whose difference is the size of further ones
LIMITS = {
    "real_time_factor": 0.03,
    "block_median_ms": 5.0,
    "block_p99_ms": 10.0,
    "size_mb": 30.0,
    "further_speaker_kb": 250.0,
}
STREAM_LIMITS = {"real_time_factor": 0.10, "block_p99_ms": 6.0}
PUBLIC_FILES = ("infer/module/models.py", "infer/lib/infer_pack/models.py")  # of newer and older versions
# SynthesizerTrnMs768NSFsid of RVC v2 at 48 kHz, as published
PUBLIC_ARGUMENTS = (
    1025, 32, 192, 192, 768, 2, 6, 3, 0, "1", [3, 7, 11], [[1, 3, 5]] * 3, [12, 10, 2, 2], 512, [24, 20, 4, 4], 109,
    256, 48000,
)  # fmt: skip


@dataclass
class Row:
    """Figures of one way to convert; those that were not or cannot be measured are None.

    Attributes:
        block_seconds: length of the blocks.
        further_speaker_kb: by how much the file grows with each speaker after the first.
    """

    name: str
    real_time_factor: float
    block_seconds: float | None = None
    block_median_ms: float | None = None
    block_p99_ms: float | None = None
    load_seconds: float | None = None
    size_mb: float | None = None
    further_speaker_kb: float | None = None
    missed: list[str] = field(default_factory=list)

    def compare(self, limits: dict[str, float]) -> None:
        """Note which figures are above their limit."""
        values = asdict(self)
        self.missed = [key for key, limit in limits.items() if values[key] is not None and values[key] > limit]


class Timed:
    """A graph, opened, with the times of its runs."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.sample_rate, self.size_mb = name, parse_file_name(path).sample_rate, path.stat().st_size / 1e6
        started = time.perf_counter()
        self.session = open_session(path.read_bytes())
        self.load_seconds = time.perf_counter() - started
        self.whole: list[float] = []
        self.blocks: list[float] = []

    def convert(self, seconds: float, seed: int) -> float:
        """Return the seconds that some audio takes."""
        audio = speech_like(self.sample_rate, round(seconds * self.sample_rate), seed)[None]
        started = time.perf_counter()
        self.session.run([AUDIO_OUTPUT], {AUDIO_INPUT: audio})
        return time.perf_counter() - started

    def row(self) -> Row:
        """Return the figures."""
        median, slow = np.percentile(self.blocks, (50, 99)) * 1000
        return Row(
            name=self.name,
            real_time_factor=float(np.median(self.whole)) / WHOLE_SECONDS,
            block_seconds=BLOCK_SECONDS,
            block_median_ms=float(median),
            block_p99_ms=float(slow),
            load_seconds=self.load_seconds,
            size_mb=self.size_mb,
        )


def take_turns(graphs: list[Timed], rounds: int) -> None:
    """Time every graph on blocks and on whole files, one after the other."""
    for index in range(rounds + WARM_UP):
        for graph in graphs:
            seconds = graph.convert(BLOCK_SECONDS, index)
            if index >= WARM_UP:
                graph.blocks.append(seconds)
    for index in range(3):
        for graph in graphs:
            graph.whole.append(graph.convert(WHOLE_SECONDS, index))


def stream_row(path: Path, rounds: int) -> Row:
    """Time a graph with explicit state: every further input is fed with the output of the same position."""
    session, rate = open_session(path.read_bytes()), parse_file_name(path).sample_rate
    audio_input, *states = session.get_inputs()
    state = {
        item.name: np.zeros(
            [axis if isinstance(axis, int) else 1 for axis in item.shape],
            np.int64 if "int64" in item.type else np.float64 if "double" in item.type else np.float32,
        )
        for item in states
    }
    block = round(STREAM_SECONDS * rate)
    source = speech_like(rate, (rounds + WARM_UP) * block, 1)
    times = []
    for start in range(0, len(source), block):
        started = time.perf_counter()
        answers = session.run(None, {audio_input.name: source[None, start : start + block], **state})
        times.append(time.perf_counter() - started)
        state = dict(zip(state, answers[1:], strict=True))
    median, slow = np.percentile(times[WARM_UP:], (50, 99)) * 1000
    size = path.stat().st_size / 1e6
    factor = float(np.mean(times[WARM_UP:])) / STREAM_SECONDS
    row = Row(path.stem, factor, STREAM_SECONDS, float(median), float(slow), size_mb=size)
    row.compare(STREAM_LIMITS)
    return row


def public_row(folder: Path) -> Row:
    """Time RVC's own generator, random weights, in PyTorch on one thread.

    Raises:
        ConfigError: if the folder does not hold RVC-WebUI's code.
    """
    sys.path.insert(0, str(folder))
    found = [file for file in PUBLIC_FILES if (folder / file).is_file()]
    if not found:
        raise ConfigError(f"--public {folder} has neither {' nor '.join(PUBLIC_FILES)}; give RVC-WebUI's code")
    try:
        module = importlib.import_module(found[0].removesuffix(".py").replace("/", "."))
    except ImportError as error:
        raise ConfigError(f"--public {folder}: {found[0]} cannot be imported ({error})") from error
    finally:
        sys.path.remove(str(folder))
    torch.set_num_threads(1)
    generator = module.SynthesizerTrnMs768NSFsid(*PUBLIC_ARGUMENTS, is_half=False).eval()

    def seconds_of(length: float) -> float:
        frames = round(100 * length)
        f0_hz = torch.full((1, frames), 150.0)
        inputs = (
            torch.randn(1, frames, 768),
            torch.tensor([frames]),
            torch.full((1, frames), 90),
            f0_hz,
            torch.tensor([0]),
        )
        started = time.perf_counter()
        with torch.no_grad():
            generator.infer(*inputs)
        return time.perf_counter() - started

    seconds_of(BLOCK_SECONDS)
    blocks = np.percentile([seconds_of(BLOCK_SECONDS) for _ in range(20)], (50, 99)) * 1000
    whole = float(np.median([seconds_of(WHOLE_SECONDS) for _ in range(3)]))
    median, slow = (float(value) for value in blocks)
    return Row("RVC's code, v2 48k, generator alone", whole / WHOLE_SECONDS, BLOCK_SECONDS, median, slow)


def measure(voice: Path | None, public: Path | None, rounds: int, lite_sizes: Sequence[str] = ()) -> list[Row]:
    """Return a row for each way to convert."""
    with tempfile.TemporaryDirectory() as scratch:
        counts = (1, FEW, MANY)
        paths = {key: Path(scratch) / f"{key}_sr48000_hop480_nfft1920.onnx" for key in ("rvc", *map(str, counts))}
        sizes = {
            count: export(random_voice("lite", "24k", count, sizes=lite_sizes), paths[str(count)]).stat().st_size
            for count in counts
        }
        given = voice if voice is not None else paths["1"]
        label = given.stem if voice is not None else " ".join(["lite voice, random weights", *lite_sizes])
        rvc = export(random_voice("rvc_v2_48k", "rvc_48k", 1), paths["rvc"])
        graphs = [Timed(label, given), Timed("rvc_v2_48k, random weights, built-in front end", rvc)]
        take_turns(graphs, rounds)
        if voice is None:
            name = Path(scratch) / "random_sr48000_hop480_nfft1920_stream.onnx"
            made = stream_row(export_stream(random_voice("lite", "24k", 1, sizes=lite_sizes), name), rounds)
    rows = [graph.row() for graph in graphs]
    rows[0].further_speaker_kb = (sizes[MANY] - sizes[FEW]) / (MANY - FEW) / 1000
    rows[0].compare(LIMITS)
    streams = sorted(voice.parent.glob("*_stream.onnx")) if voice is not None else []
    rows += [stream_row(path, rounds) for path in streams] if voice is not None else [made]
    return [*rows, *([public_row(public)] if public is not None else [])]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = BenchmarkParser("export_speed", __doc__)
    parser.add_argument("--voice", type=Path, help="an exported voice; without it one with random weights")
    parser.add_argument("--public", type=Path, help="folder of RVC-WebUI's code")
    parser.add_argument("--rounds", type=whole_number, default=200, help="blocks that each graph converts")
    parser.add_argument(
        "--lite", nargs="+", default=[], metavar="model.KEY=VALUE", help="sizes of the random lite voice"
    )
    parser.add_json()
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 1 if the voice misses a bar."""
    options = parse(arguments)
    return run_program("export_speed", lambda: report(options))


def report(options: argparse.Namespace) -> int:
    """Measure and print the table; return the exit code."""
    if options.voice is not None and options.lite:
        raise ConfigError("--lite changes a voice with random weights, --voice gives one; leave one of them out")
    rows = measure(options.voice, options.public, options.rounds, options.lite)
    headers = ("graph", "RTF 10 s", "block s", "median ms", "p99 ms", "load s", "MB", "KB a speaker", "missed")
    cells = [["-" if value is None else value for value in asdict(row).values()] for row in rows]
    emit(table([[*line[:-1], ", ".join(line[-1]) or "-"] for line in cells], headers))
    limits = ", ".join(f"{key} {limit:g}" for key, limit in LIMITS.items())
    emit(f"bars: {limits}; onnxruntime {onnxruntime.__version__}")
    write_figures(options, "export_speed", [asdict(row) for row in rows])
    return int(any(row.missed for row in rows))


if __name__ == "__main__":
    sys.exit(main())
