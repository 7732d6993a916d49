"""Plant copies of recordings, in other formats, at other rates and levels, or cut: are they found, and nothing else?

    python -m benchmarks.copies [--corpus FOLDER ...] [--each 30] [--json FILE]

Found: copies that are in one group with their recording. False: recordings of the corpora that are in one group. Copies
of less than a second are counted apart. The processor time is that of the prints and of the search, beside what
preprocessing takes for a second of audio (80 ms, see benchmarks.preprocessing).
"""

import argparse
import io
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from benchmarks.bars import Bar, all_reached, plain_bars, show_bars
from benchmarks.options import CORPORA, BenchmarkParser, write_figures
from utils.audio.io import float_to_int16, load_audio
from utils.command_line import run_program, whole_number
from utils.console import emit, table
from utils.corpus.arrays import Rows, save_array
from utils.corpus.copies import find_copies, groups_of
from utils.corpus.sound_print import HOP_FRAMES, sound_print

RATE = 24000
HOP = RATE // 100 * HOP_FRAMES
SHORT_SECONDS = 2.0
PREPROCESSING_MS = 80.0  # processor time for a second of audio
BAR_PERCENT = 2.0
SPEAKERS = ("kathleen", "flemishguy", "nathalie")


def encoded(sound: np.ndarray, kind: str, subtype: str, rate: int = RATE, **more: Any) -> np.ndarray:
    """Return a sound after it was written and read at a rate."""
    stream = io.BytesIO()
    given = sound if rate == RATE else soxr.resample(sound, RATE, rate)
    soundfile.write(stream, given, rate, format=kind, subtype=subtype, **more)
    stream.seek(0)
    read = soundfile.read(stream, dtype="float32")[0]
    result: np.ndarray = read if rate == RATE else soxr.resample(read, rate, RATE)
    return result


PLANTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mp3": lambda sound: encoded(sound, "MP3", "MPEG_LAYER_III"),
    "mp3 of the lowest quality, 16 kHz": lambda sound: encoded(
        sound, "MP3", "MPEG_LAYER_III", 16000, compression_level=0.95
    ),
    "ogg vorbis": lambda sound: encoded(sound, "OGG", "VORBIS"),
    "opus": lambda sound: encoded(sound, "OGG", "OPUS", 48000),
    "8 kHz": lambda sound: encoded(sound, "WAV", "PCM_16", 8000),
    "8 kHz, u-law": lambda sound: encoded(sound, "WAV", "ULAW", 8000),
    "both ends cut off": lambda sound: sound[RATE // 3 : -RATE // 5],
    "first half": lambda sound: sound[: len(sound) // 2],
    "middle third, mp3": lambda sound: encoded(sound[len(sound) // 3 : -len(sound) // 3], "MP3", "MPEG_LAYER_III"),
    "20 dB softer, ogg": lambda sound: encoded(0.1 * sound, "OGG", "VORBIS"),
}


def report(options: argparse.Namespace) -> int:
    """Plant, search and print the counts; returns the exit code."""
    paths = [path for folder in options.corpus for path in sorted(folder.rglob("*.flac"))]
    recordings = [load_audio(path, RATE) for path in paths]
    drawn, sounds = random.Random(0), list(recordings)
    planted: list[tuple[str, int]] = []
    for name, plant in PLANTS.items():
        for original in drawn.sample(range(len(recordings)), min(options.each, len(recordings))):
            sounds.append(plant(recordings[original]))
            planted.append((name, original))
    groups, spent = search(sounds)
    figures: dict[str, list[int]] = {name: [0, 0, 0, 0] for name in PLANTS}
    for index, (name, original) in enumerate(planted, len(recordings)):
        column = 2 if len(sounds[index]) < SHORT_SECONDS * RATE else 0
        figures[name][column] += groups[index] == groups[original]
        figures[name][column + 1] += 1
    false = sum(count - 1 for count in Counter(groups[: len(recordings)]).values())
    seconds = sum(map(len, sounds)) / RATE
    share = 100 * spent * 1000 / seconds / PREPROCESSING_MS
    rows = [[name, f"{row[0]} of {row[1]}", f"{row[2]} of {row[3]}"] for name, row in figures.items()]
    emit(table(rows, ["copy", f"found of {SHORT_SECONDS:g} s or more", "found of shorter ones"]))
    emit(f"{len(recordings)} recordings in {false} false groups; {1000 * spent / seconds:.2f} ms for a second of audio")
    missed = sum(row[1] - row[0] for row in figures.values())
    bars = [
        Bar("copies missed", missed, 0, False),
        Bar("false groups", false, 0, False),
        Bar("% of preprocessing", share, BAR_PERCENT, False),
    ]
    show_bars(bars)
    write_figures(options, "copies", {"found": figures, "false": false, "bars": plain_bars(bars)})
    return 0 if all_reached(bars) else 1


def search(sounds: Sequence[np.ndarray]) -> tuple[list[int], float]:
    """Return the group of each sound, and the processor seconds of prints and search."""
    samples = [float_to_int16(sound) for sound in sounds]
    prints, spent = [], 0.0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sound.npy"
        for sound in samples:
            save_array(path, sound)
            started = time.process_time()
            prints.append(sound_print(Rows(path, 0, len(sound)), RATE))
            spent += time.process_time() - started
    started = time.process_time()
    copies = find_copies(prints, lambda index, first, end: samples[index][first * HOP : end * HOP], RATE)
    return groups_of(len(sounds), copies), spent + time.process_time() - started


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = BenchmarkParser("copies", __doc__)
    default = [CORPORA / name for name in SPEAKERS]
    parser.add_argument("--corpus", type=Path, nargs="+", default=default, help="folders of recordings (.flac)")
    parser.add_argument("--each", type=whole_number, default=30, help="copies of each kind")
    parser.add_json()
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 1 if a bar is missed."""
    options = parse(arguments)
    return run_program("copies", lambda: report(options))


if __name__ == "__main__":
    sys.exit(main())
