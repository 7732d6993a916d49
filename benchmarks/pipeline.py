"""Measure VoiceConversionPipeline: overhead, files side by side, cold start, memory, throughput, pieces, profile.

    python -m benchmarks.pipeline onnx=exports/demo/demo_sr24000_hop240_nfft960.onnx [--rvc] [--json FILE]

Overhead is of processor time, which a busy machine does not change; the speed of two workers, the cold start and the
samples a second are of the clock and mean something only on an idle machine: `load` says how busy it was. --rvc makes a
voice of RVC v2 at 48 kHz with random weights, which costs what a trained one costs, and prints its profile beside.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from benchmarks.bars import Bar, all_reached, plain_bars, show_bars
from benchmarks.options import BenchmarkParser, write_figures
from scripts.pipeline import ROOT
from utils.audio.io import load_audio
from utils.audio.listing import list_audio
from utils.audio.synthetic_speech import voice
from utils.command_line import run_program
from utils.console import emit, table
from utils.inference import VoiceConversionPipeline
from utils.inference.pipeline import convert, segments
from utils.inference.session import VoiceSession
from utils.inference.source import ArraySound
from utils.inference.statistics import ConversionProfile
from utils.memory import resident_bytes

PIECES_SECONDS, LONG_SECONDS, FILE_SECONDS, NUM_FILES, NUM_CONVERSIONS = 90.0, 60.0, 5.0, 100, 500
ROUNDS, SIDE_BY_SIDE_ROUNDS, COLD_STARTS, SETTLED = 5, 3, 3, 50
NEAR_CUT_SECONDS, STEP_SECONDS = 0.2, 0.5
LEVELS, MOST_RECORDINGS = (-20, -26, -35), 20
COLD = """
import numpy, sys, time
from utils.inference import VoiceConversionPipeline
with VoiceConversionPipeline(sys.argv[1]) as pipeline:
    pipeline.convert(0.1 * numpy.random.default_rng(0).standard_normal(48000).astype(numpy.float32), 48000)
"""


def overhead(pipeline: VoiceConversionPipeline) -> float:
    """Return how much more processor time 60 s take than in the bare graph, as a share of that."""
    rate, session = pipeline.sample_rate, pipeline.session
    audio = speech(LONG_SECONDS, rate)
    values = {"pitch_shift": 0.0} if session.has_control("pitch_shift") else {}
    works: dict[str, Callable[[], object]] = {
        "bare": lambda: session.run(audio, values),
        "pipeline": lambda: pipeline.convert(audio, rate),
    }
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(ROUNDS + 1):
        for name, work in works.items():
            started = time.process_time()
            work()
            seconds[name] += [time.process_time() - started] if number else []
    return min(seconds["pipeline"]) / min(seconds["bare"]) - 1  # other work on the machine only ever adds


def side_by_side(pipeline: VoiceConversionPipeline) -> float:
    """Return how much faster two workers convert 100 files of 5 s than one."""
    rate = pipeline.sample_rate
    audios = [speech(FILE_SECONDS, rate, seed=number) for number in range(NUM_FILES)]
    ratios = []
    for _ in range(SIDE_BY_SIDE_ROUNDS):
        seconds = []
        for workers in (1, 2):
            started = time.perf_counter()
            pipeline.batch_convert(audios, rate, num_workers=workers)
            seconds.append(time.perf_counter() - started)
        ratios.append(seconds[0] / seconds[1])
    return median(ratios)


def samples_a_second(pipeline: VoiceConversionPipeline) -> float:
    """Return how many samples two workers make in a second."""
    rate = pipeline.sample_rate
    audios = [speech(20.0, rate, seed=number) for number in range(8)]
    best = 0.0
    for _ in range(3):
        started = time.perf_counter()
        pipeline.batch_convert(audios, rate, num_workers=2)
        best = max(best, sum(map(len, audios)) / (time.perf_counter() - started))
    return best


def cold_start(graph: Path) -> float:
    """Return the seconds from the start of a new process to the end of its first conversion, the best of some."""
    taken = []
    for _ in range(COLD_STARTS):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", COLD, str(graph.resolve())], cwd=ROOT, check=True)
        taken.append(time.perf_counter() - started)
    return min(taken)


def memory_growth(pipeline: VoiceConversionPipeline) -> float:
    """Return by how many megabytes memory grows from the 50th to the 500th conversion."""
    rate, before = pipeline.sample_rate, 0
    lengths = np.random.default_rng(0).uniform(0.2, 2.0, NUM_CONVERSIONS)
    for number, seconds in enumerate(lengths):
        pipeline.convert(speech(seconds, rate), rate)
        if number == SETTLED:
            before = resident_bytes()
    return (resident_bytes() - before) / 1e6


class Difference(NamedTuple):
    """How far a recording in pieces is from one in one piece, in dB below its level: worst and median half second."""

    worst_db: float
    median_db: float


def difference_of_pieces(session: VoiceSession, audio: np.ndarray) -> Difference:
    """Compare audio [T] in pieces with audio in one piece; what is nearer than .2 s to a cut does not count."""
    rate = session.sample_rate
    expected, made = session.run(audio), convert(session, audio)
    cuts = np.array([end for _, end in segments(ArraySound(audio), rate)][:-1])
    level, step, powers = np.mean(np.square(expected)), round(STEP_SECONDS * rate), []
    for first in range(0, len(audio), step):
        place = np.arange(first, min(first + step, len(audio)))
        place = place[np.abs(place[:, None] - cuts).min(axis=1) > NEAR_CUT_SECONDS * rate]
        if len(place):
            powers.append(np.mean(np.square(made[place] - expected[place])) / level)
    return Difference(*(float(10 * np.log10(max(value, 1e-20))) for value in (max(powers), median(powers))))


def differences(session: VoiceSession, recordings: Path | None) -> dict[int, Difference]:
    """Return the differences for a minute and a half of speech at some levels (root mean square)."""
    rate = session.sample_rate
    audio = speech(PIECES_SECONDS, rate)
    if recordings is not None:
        paths = list_audio(recordings)[:MOST_RECORDINGS]
        audio = np.concatenate([load_audio(path, rate) for path in paths])[: round(PIECES_SECONDS * rate)]
    audio = audio / np.sqrt(np.mean(np.square(audio)))
    return {level: difference_of_pieces(session, (audio * 10 ** (level / 20)).astype(np.float32)) for level in LEVELS}


def speech(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """Return speech-like sound with pauses, about as loud as a recording."""
    takes = [
        np.pad(voice(3.0, rate, f0_hz=100 + 20 * number, seed=seed + number), (0, rate // 3)) for number in range(3)
    ]
    return np.resize(np.concatenate(takes), round(seconds * rate)).astype(np.float32)


def rvc_profile() -> ConversionProfile:
    """Profile a voice of RVC v2 at 48 kHz with random weights."""
    from benchmarks.random_voices import export, random_voice  # PyTorch, which the others do without

    with tempfile.TemporaryDirectory(prefix="pipeline.") as folder:
        graph = export(random_voice("rvc_v2_48k", "rvc_48k", 1), Path(folder, "rvc_sr48000_hop480_nfft2048.onnx"))
        with VoiceConversionPipeline(graph, device="cpu") as pipeline:
            return profile_of(pipeline)


def profile_rows(profiles: dict[str, ConversionProfile]) -> list[list[object]]:
    """Return a line for each voice."""
    return [
        [
            name,
            round(profile.total_ms),
            profile.audio_duration_s,
            f"{profile.rtf:.3f}",
            round(profile.throughput_samples_per_sec),
            ", ".join(f"{stage} {value:.0f}" for stage, value in profile.stages.items()),
            profile.device,
        ]
        for name, profile in profiles.items()
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = BenchmarkParser("pipeline", __doc__)
    parser.add_argument("graph", metavar="onnx=<file>", help="a voice of model=lite, as test_model.py takes it")
    parser.add_argument("--rvc", action="store_true", help="profile a voice of RVC v2 48k beside it (needs PyTorch)")
    parser.add_json()
    parser.add_argument("--recordings", type=Path, help="folder of speech for the pieces; without it some is made")
    options = parser.parse_args(arguments)
    graph = Path(options.graph.removeprefix("onnx="))
    os.environ.setdefault("OMP_NUM_THREADS", "1")

    def work() -> int:
        pipeline = VoiceConversionPipeline(graph, device="cpu")
        profiles = {pipeline.name: profile_of(pipeline)}
        if options.rvc:
            profiles["rvc_v2_48k"] = rvc_profile()
        first, apart = profiles[pipeline.name], differences(pipeline.session, options.recordings)
        bars = [
            Bar("overhead over the bare graph, 60 s", overhead(pipeline), 0.03, at_least=False),
            Bar("two workers over one, 100 files of 5 s", side_by_side(pipeline), 1.8, at_least=True),
            Bar("first output from a cold start, s", cold_start(graph), 2.0, at_least=False),
            Bar("growth of memory over 450 conversions, MB", memory_growth(pipeline), 5.0, at_least=False),
            Bar("samples a second, two workers", samples_a_second(pipeline), 1e6, at_least=True),
            Bar("pieces against one piece, dB", apart[LEVELS[0]].worst_db, -50.0, at_least=False),
            Bar("stages beside the total", abs(sum(first.stages.values()) / first.total_ms - 1), 0.1, at_least=False),
        ]
        emit(table(profile_rows(profiles), ["voice", "ms", "seconds", "RTF", "samples/s", "stages, ms", "device"]))
        rows = [[level, f"{item.worst_db:.1f}", f"{item.median_db:.1f}"] for level, item in apart.items()]
        emit(table(rows, ["level of the speech, dB", "pieces: worst half second, dB", "median, dB"]))
        show_bars(bars)
        emit(f"load of the machine: {', '.join(f'{value:.1f}' for value in os.getloadavg())}")
        figures: dict[str, Any] = {"profiles": {name: asdict(item) for name, item in profiles.items()}}
        figures["pieces"] = {str(level): item._asdict() for level, item in apart.items()}
        write_figures(options, "pipeline", figures | {"bars": plain_bars(bars), "load": os.getloadavg()})
        return 0 if all_reached(bars) else 1

    return run_program("pipeline", work)


def profile_of(pipeline: VoiceConversionPipeline) -> ConversionProfile:
    """Profile ten seconds of a sound card's rate, after a warm-up."""
    pipeline.warmup(2)
    return pipeline.profile_conversion(speech(10.0, 44100), 44100)


if __name__ == "__main__":
    sys.exit(main())
