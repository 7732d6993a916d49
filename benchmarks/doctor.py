"""What the dataset doctor finds of faults that are planted into good recordings, and what it finds in the good ones.

    python -m benchmarks.doctor [--voices FOLDER ...] [--strangers FOLDER] [--clips 34] [--json FILE]

Each fault is planted into every clip and must be found by its rule. Copies (the same clip as mp3) are found where a
dataset is made: see benchmarks/README.md.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.bars import Bar, all_reached, plain_bars, show_bars
from benchmarks.doctor_plants import PLANTS, planted
from benchmarks.options import CORPORA, BenchmarkParser, is_absent, write_figures
from utils.audio.io import resample
from utils.audio.listing import list_audio, spread
from utils.command_line import run_program, whole_number
from utils.console import emit
from utils.doctor.facts import FileFacts
from utils.doctor.measures import measure_sound
from utils.doctor.rules import find_in_file
from utils.doctor.speakers import SpeakerComparison

LEAST_FOUND, MOST_FALSE_ALARMS = 0.9, 0.02
SPOKEN = 0.5  # share of a clip with pitch: what no rule here looks at


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = BenchmarkParser("doctor", __doc__)
    voices = [CORPORA / name for name in ("kathleen", "flemishguy", "nathalie")]
    parser.add_argument(
        "--voices", type=Path, nargs="+", default=voices, help="folders of good recordings, one voice each"
    )
    parser.add_argument("--strangers", type=Path, default=CORPORA / "librispeech", help="recordings of other speakers")
    parser.add_argument("--clips", type=whole_number, default=34, help="clips of each voice (default: 34)")
    parser.add_json()
    return parser.parse_args(arguments)


def rules_that_find(audio: np.ndarray, rate: int, comparison: SpeakerComparison) -> set[str]:
    """Return the names of the rules that find something in a recording."""
    similarity = comparison.similarity(resample(audio, rate, comparison.rate))
    seconds, sound = len(audio) / rate, measure_sound(audio[:, None], rate)
    facts = FileFacts("clip", "voice", seconds, SPOKEN * seconds, sound=sound, similarity=similarity)
    return {item.rule for item in find_in_file(facts)}


def measure(options: argparse.Namespace) -> tuple[Counter[str], Counter[str], Counter[str], int]:
    """Return how often each fault was found, what was found in good clips, clips of each fault, and good ones."""
    found: Counter[str] = Counter()
    tried: Counter[str] = Counter()
    alarms: Counter[str] = Counter()
    strangers = list_audio(options.strangers)
    clean = 0
    for folder in options.voices:
        clips = spread(list_audio(folder), options.clips)
        loaded = [soundfile.read(path, dtype="float32") for path in clips]
        comparison = SpeakerComparison()
        comparison.learn([resample(audio, rate, comparison.rate) for audio, rate in loaded])
        for index, (audio, rate) in enumerate(loaded):
            clean += 1
            alarms.update(rules_that_find(audio, rate, comparison))
            for plant, rule in PLANTS.items():
                rules = rules_that_find(planted(plant, audio, rate, index, strangers), rate, comparison)
                tried[plant.__name__] += 1
                found[plant.__name__] += rule in rules
        emit(f"{folder.name}: {len(clips)} clips; found so far {dict(found)}, alarms so far {dict(alarms)}")
    return found, alarms, tried, clean


def run(options: argparse.Namespace) -> int:
    """Measure and show; 1 where a requirement is missed."""
    if any(is_absent(folder, "--voices") for folder in options.voices) or is_absent(options.strangers, "--strangers"):
        return 0
    found, alarms, tried, clean = measure(options)
    bars = [Bar(f"{name}, found of {count}", found[name] / count, LEAST_FOUND, True) for name, count in tried.items()]
    bars.append(Bar(f"false alarms in {clean} good clips, each", alarms.total() / clean, MOST_FALSE_ALARMS, False))
    show_bars(bars)
    emit(f"alarms in good clips: {dict(alarms)}")
    write_figures(options, "doctor", {"bars": plain_bars(bars), "alarms": dict(alarms)})
    return 0 if all_reached(bars) else 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = parse(arguments)
    return run_program("doctor", lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
