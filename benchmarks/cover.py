"""How long cover.py takes for a song of some minutes: at first, and again after a change of one setting.

    python -m benchmarks.cover <voice>.onnx [--minutes 4] [--work FOLDER]

The song is made: phrases of a synthetic singer over chords, stereo at 44.1 kHz. Each call is a program of its own, as a
user types it. Needs the extra cover (pyloudnorm, pedalboard). Also: how far the loudness of each result is from the
song's.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.options import BenchmarkParser, work_folder, write_figures
from scripts.pipeline import ROOT
from utils.audio.synthetic_speech import voice
from utils.audio.writing import SOUND_FORMATS, open_writer
from utils.command_line import positive_number, run_program
from utils.console import emit, table
from utils.errors import WorkbenchError

RATE = 44100
PHRASE_SECONDS, REST_SECONDS = 5.0, 1.0
CHORDS = ((220.0, 277.2, 329.6), (174.6, 220.0, 261.6), (196.0, 246.9, 293.7), (164.8, 207.7, 246.9))
BEAT_SECONDS = 0.5
# what is changed -> overrides; all but "first" and "nothing" differ from it in one setting
CHANGES = {
    "first": (),
    "nothing": (),
    "a gain": ("instrumental_gain_db=-1",),
    "an effect": ("effects.reverb_share=0.2",),
    "the pitch": ("pitch_shift=0",),
}
MADE = re.compile(r"(?P<steps>.+): made in (?P<seconds>[\d.]+) s")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = BenchmarkParser("cover", __doc__)
    parser.add_argument("voice", type=Path, help="an exported voice")
    parser.add_argument("--minutes", type=positive_number, default=4.0, help="length of the song")
    parser.add_work()
    options = parser.parse_args(arguments)
    return run_program("cover", lambda: measure(options))


def measure(options: argparse.Namespace) -> int:
    """Print the table; return the exit code."""
    work = work_folder(options)
    shutil.rmtree(work / "parts", ignore_errors=True)
    make_song(work, 60 * options.minutes)
    figures = {what: call(options.voice, work, overrides) for what, overrides in CHANGES.items()}
    rows = [
        [what, f"{row['seconds']:.1f}", f"{row['processor']:.1f}", row["steps"] or "nothing", f"{row['off_lu']:+.2f}"]
        for what, row in figures.items()
    ]
    emit(table(rows, ["changed", "seconds", "of processor", "made again", "LU off"]))
    write_figures(options, "cover", figures)
    return 0


def call(graph: Path, work: Path, overrides: Sequence[str]) -> dict[str, object]:
    """Run cover.py and return its seconds, the steps that it made, and how far the loudness is off."""
    command = [
        sys.executable, str(ROOT / "cover.py"), f"vocals={work / 'vocals.wav'}", f"instrumental={work / 'rest.wav'}",
        f"voice={graph.resolve()}", f"output={work / 'cover.wav'}", "effects=vocal", *overrides,
    ]  # fmt: skip
    started, before = time.perf_counter(), processor_seconds()
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    seconds, processor = time.perf_counter() - started, processor_seconds() - before
    if done.returncode:
        raise WorkbenchError(f"cover.py ended with code {done.returncode}: {done.stderr.strip()}")
    steps = [match["steps"] for line in done.stdout.splitlines() if (match := MADE.fullmatch(line))]
    figures = json.loads((work / "cover.cover.json").read_text(encoding="utf-8"))["figures"]
    return {
        "seconds": seconds,
        "processor": processor,
        "steps": ", ".join(steps),
        "off_lu": figures["lufs"] - figures["target_lufs"],
    }


def processor_seconds() -> float:
    """Return what programs started here have used so far; unlike the clock it does not grow with other load."""
    used = os.times()
    return used.children_user + used.children_system


def make_song(folder: Path, seconds: float) -> None:
    """Write vocals.wav and rest.wav."""
    phrase = round(PHRASE_SECONDS * RATE)
    total = round(seconds * RATE)
    sung = np.zeros(total, np.float32)
    for number, start in enumerate(range(0, total - phrase, round((PHRASE_SECONDS + REST_SECONDS) * RATE))):
        sung[start : start + phrase] = voice(PHRASE_SECONDS, RATE, f0_hz=110.0 * 2 ** (number % 5 / 12), seed=number)
    moment = np.arange(total) / RATE
    beat = np.exp(-6 * (moment % BEAT_SECONDS))
    chord = (moment // (4 * BEAT_SECONDS)).astype(int) % len(CHORDS)
    sides = [np.zeros(total), np.zeros(total)]
    for tone in range(3):
        frequency = np.array([notes[tone] for notes in CHORDS])[chord]
        played = 0.12 * beat * np.sin(2 * np.pi * np.cumsum(frequency) / RATE)
        sides[0] += played * (1.2 - 0.2 * tone)
        sides[1] += played * (0.8 + 0.2 * tone)
    for name, audio in (("vocals", sung[:, None]), ("rest", np.stack(sides, axis=1))):
        path = folder / f"{name}.wav"
        with open_writer(path, SOUND_FORMATS["wav"], sample_rate=RATE, num_channels=audio.shape[1]) as write:
            write(audio.astype(np.float32))


if __name__ == "__main__":
    sys.exit(main())
