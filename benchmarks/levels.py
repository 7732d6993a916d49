"""Does a voice follow the level of its source? The level of the output against that of the input, soft to loud.

    python -m benchmarks.levels <voice>.onnx [<voice>.onnx ...] [--sources FOLDER] [--levels=-40,-12,0,12]

Each source is brought to -23 LUFS, the level of the training, and from there to each level. A row says by how much the
output's level differs from the one at 0 dB over frames in which the source speaks (a voice that follows: by the level
itself); how the output's frames move with the input's within a recording (1: dB for dB); and how much the spectrum
differs from the one at 0 dB when the level is taken out. Streams are converted block by block.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.options import BenchmarkParser, check_recordings, write_figures
from benchmarks.sources import pick_sources
from utils.audio.frames import FRAME_RATE
from utils.audio.io import load_audio
from utils.command_line import run_program
from utils.console import emit, table
from utils.corpus.leveling import LoudnessMeter
from utils.inference.session import VoiceSession
from utils.inference.stream import StreamSession
from utils.verification.alignment import spectral_difference_db
from utils.voice_file.names import is_stream_file

LEVELS_DB = (-40.0, -30.0, -24.0, -18.0, -12.0, -6.0, 0.0, 6.0, 12.0)
REFERENCE_LUFS = -23.0
SPEAKING_DB = -20.0  # a frame speaks that is at most so far below the mean power of its recording
FLOOR = 1e-12  # of the power of a frame
LONGEST_SECONDS = 10.0
Converter = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Row:
    """What a voice makes of one level.

    Attributes:
        level_db: of the sources, against -23 LUFS.
        output_db: mean change of the output's level against the one at 0 dB; between is its standard deviation.
        slope: decibels by which an output frame moves for one of the input.
        spectrum_db: difference of the spectrum from the one at 0 dB, the level taken out.
    """

    voice: str
    level_db: float
    output_db: float
    between_db: float
    slope: float
    spectrum_db: float


def frame_powers(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return the mean power of frames of 10 ms, [F]."""
    hop = sample_rate // FRAME_RATE
    frames = audio[: len(audio) // hop * hop].astype(np.float64).reshape(-1, hop)
    powers: np.ndarray = np.square(frames).mean(axis=1) + FLOOR
    return powers


def at_reference(path: Path, sample_rate: int) -> np.ndarray:
    """Return the beginning of a recording [T] at -23 LUFS."""
    audio = load_audio(path, sample_rate, duration_seconds=LONGEST_SECONDS)
    meter = LoudnessMeter(sample_rate)
    meter.update(audio)
    return (audio * 10 ** ((REFERENCE_LUFS - meter.loudness_lufs()) / 20)).astype(np.float32)


def measure(
    name: str, convert: Converter, sources: Sequence[np.ndarray], rate: int, levels: Sequence[float]
) -> list[Row]:
    """Return a row for each level of one voice."""
    speaking = [(powers := frame_powers(source, rate)) > powers.mean() * 10 ** (SPEAKING_DB / 10) for source in sources]
    plain = [convert(source) for source in sources]
    rows = []
    for level in levels:
        found = []
        for source, is_speech, at_zero in zip(sources, speaking, plain, strict=True):
            given = (source * 10 ** (level / 20)).astype(np.float32)
            made = at_zero if level == 0 else convert(given)
            before, after, zero = (
                frame_powers(audio, rate)[: len(is_speech)][is_speech] for audio in (given, made, at_zero)
            )
            change = 10 * np.log10(after.mean() / zero.mean())
            slope = np.polyfit(10 * np.log10(before), 10 * np.log10(after), 1)[0]
            taken_out = made * 10 ** (-change / 20)
            found.append((change, slope, spectral_difference_db(at_zero, taken_out, rate)))
        mean, deviation = np.mean(found, axis=0), np.std(found, axis=0)
        rows.append(Row(name, level, float(mean[0]), float(deviation[0]), float(mean[1]), float(mean[2])))
    return rows


def converter_of(path: Path) -> tuple[Converter, int]:
    """Return how a file converts [T], and its rate."""
    session = StreamSession.open(path) if is_stream_file(path) else VoiceSession.open(path)
    convert = session.convert if isinstance(session, StreamSession) else session.run
    return convert, session.sample_rate


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = BenchmarkParser("levels", __doc__)
    parser.add_argument("voices", nargs="+", type=Path, help="exported voices, streams among them")
    parser.add_argument("--levels", type=decibels, default=list(LEVELS_DB), help="of the sources, such as=-40,0,12")
    parser.add_sources(6)
    parser.add_json()
    return parser.parse_args(arguments)


def decibels(text: str) -> list[float]:
    """Read numbers with commas between them, for argparse."""
    return [float(part) for part in text.split(",")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = parse(arguments)
    return run_program("levels", lambda: report(options))


def report(options: argparse.Namespace) -> int:
    """Measure and print the table; return the exit code."""
    check_recordings(options)
    chosen = [path for _, path in pick_sources(options.sources, options.source_count)]
    rows = []
    for path in options.voices:
        convert, rate = converter_of(path)
        rows += measure(path.stem, convert, [at_reference(source, rate) for source in chosen], rate, options.levels)
    headers = ("voice", "level dB", "output dB", "+-", "slope in a recording", "spectrum dB")
    cells = [[row.voice, *(round(value, 2) for value in list(asdict(row).values())[1:])] for row in rows]
    emit(table(cells, headers))
    write_figures(options, "levels", [asdict(row) for row in rows])
    return 0


if __name__ == "__main__":
    sys.exit(main())
