"""How much of a voice lies above 8 kHz, and what a wider band costs: levels by band, and times in turns.

    python -m benchmarks.bandwidth --voice <voice>_sr24000_*.onnx --voice <voice>_sr48000_*.onnx --target recordings

Levels are means over the loud frames (within 40 dB of the loudest) of what is 1 to 4 kHz, and of each higher band
beside it: of the target's recordings, and of strangers through each voice. Times are those of all strangers' clips on
one thread, the voices taking turns; the ratio is to the first.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.options import BenchmarkParser, check_recordings, write_figures
from benchmarks.sources import pick_sources
from benchmarks.timing import take_turns
from utils.audio.io import load_audio
from utils.audio.listing import list_audio, spread
from utils.command_line import positive_number, run_program, whole_number
from utils.console import emit, table
from utils.inference.session import VoiceSession

REFERENCE_HZ = (1000, 4000)
BANDS_HZ = ((4000, 8000), (8000, 12000), (12000, 16000), (16000, 20000))
WINDOW_SECONDS = 0.02
LOUD_DB = 40.0
WIDEST_RATE = 48000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = parse(arguments)
    return run_program("bandwidth", lambda: measure(options))


def measure(options: argparse.Namespace) -> int:
    """Print levels and times of all voices."""
    check_recordings(options)
    recordings = [load_audio(path, WIDEST_RATE) for path in spread(list_audio(options.target), options.source_count)]
    levels = {"the target's recordings": levels_of(recordings, WIDEST_RATE)}
    chosen = [path for _, path in pick_sources(options.sources, options.source_count)]
    works = {}
    for graph in options.voice:
        voice = VoiceSession.open(graph)
        clips = [load_audio(path, voice.sample_rate) for path in chosen]
        clips = [clip[: round(options.seconds * voice.sample_rate)] for clip in clips]
        levels[graph.stem] = levels_of([voice.run(clip) for clip in clips], voice.sample_rate)
        works[graph.stem] = lambda voice=voice, clips=clips: [voice.run(clip) for clip in clips]
    times = take_turns(works, options.rounds)
    first = times[next(iter(times))]
    costs = {
        name: median(own / base for own, base in zip(seconds, first, strict=True)) for name, seconds in times.items()
    }
    heads = [f"{low // 1000} to {high // 1000} kHz" for low, high in BANDS_HZ]
    rows = [
        [
            name,
            *("-" if level is None else f"{level:.1f}" for level in found),
            f"{costs[name]:.2f}" if name in costs else "-",
        ]
        for name, found in levels.items()
    ]
    emit(table(rows, ["dB beside 1 to 4 kHz", *heads, "time"]))
    write_figures(options, "bandwidth", {"levels": levels, "seconds": times, "ratio": costs})
    return 0


def levels_of(clips: Sequence[np.ndarray], sample_rate: int) -> list[float | None]:
    """Return the density of each of BANDS_HZ beside that of REFERENCE_HZ in dB; None above half the rate.

    Args:
        clips: [T] each; silent ones count nothing.
        sample_rate: of the clips.
    """
    window = round(WINDOW_SECONDS * sample_rate)
    powers = np.concatenate([_powers(clip, window) for clip in clips])
    loudness = powers.sum(axis=1)
    mean = powers[loudness > loudness.max() * 10 ** (-LOUD_DB / 10)].mean(axis=0)
    centres = np.arange(len(mean)) / WINDOW_SECONDS

    def density(low: float, high: float) -> float:
        return float(mean[(centres >= low) & (centres < high)].mean())

    reference = density(*REFERENCE_HZ)
    return [
        10 * float(np.log10(max(density(low, high), 1e-20) / reference)) if high <= sample_rate / 2 else None
        for low, high in BANDS_HZ
    ]


def _powers(clip: np.ndarray, window: int) -> np.ndarray:
    """Return the spectrum [F, window / 2 + 1] of each window of a clip."""
    padded = np.pad(clip, (0, max(0, window - len(clip))))
    pieces = np.lib.stride_tricks.sliding_window_view(padded, window)[:: window // 2]
    return np.square(np.abs(np.fft.rfft(pieces * np.hanning(window), axis=1)))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = BenchmarkParser("bandwidth", __doc__)
    parser.add_argument(
        "--voice", type=Path, action="append", required=True, metavar="GRAPH", help="may be given again"
    )
    parser.add_target()
    parser.add_sources(12)
    parser.add_argument("--seconds", type=positive_number, default=5.0, help="of each recording at most")
    parser.add_argument("--rounds", type=whole_number, default=5, help="in which the voices take turns")
    parser.add_json()
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
