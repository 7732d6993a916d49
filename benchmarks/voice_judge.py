"""One table of how good voices are: ways to feed them, singing, whisper, noise, and what the voice's own speech loses.

    python -m benchmarks.voice_judge --voice GRAPH RECORDINGS [--voice GRAPH RECORDINGS ...] [--parts feeding,own]

RECORDINGS are of the target, best not those it was trained on. Parts:

    feeding   strangers as they are, and the graph fed with them whole and in blocks (benchmarks/feeding.py), with seams
    own       the target's recordings, and these through the voice: what encoder and generator lose without a stranger
    sung      words of strangers on notes of known pitch, whole and in blocks with history: share of the voiced frames
              within 20 cents of the pitch that was asked for, of all and of those in which it can be told from the line
              itself (benchmarks/melody.py)
    notes     recorded sung notes (--notes), measured in the same way
    laughter  bursts like laughter in strangers' voices, measured in the same way
    whisper   words of strangers without a voice
    noise     strangers in noise, in a room, with music behind, over a phone in a noisy room
    outside   recordings from outside of the training's world (--outside)

A hard target is made by benchmarks.phone_recordings; --language is that of the sources.

Figures are means with standard errors (bootstrap over recordings). Each condition of each voice is written to --work
when it is done, and not computed again: a long table can be made in pieces. Words are compared with those of the
undisturbed recording.
"""

import argparse
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.comparison import evaluators_of
from benchmarks.feeding import HISTORY, WHOLE, block_samples, feeds_of, median_hz_of
from benchmarks.judged_clips import Clip, ClipMaker
from benchmarks.judged_sounds import SUNG_HZ, disturbances
from benchmarks.melody import cents_from, share_near
from benchmarks.options import CORPORA, BenchmarkParser, check_recordings, is_absent, work_folder, write_figures
from benchmarks.target_voices import NUM_TARGET_CLIPS
from scripts.pipeline import empty_folder
from utils.audio.io import save_audio
from utils.audio.listing import list_audio, spread
from utils.command_line import positive_number, run_program
from utils.console import emit, table
from utils.errors import ConfigError, DataError
from utils.evaluation.evaluation import evaluate
from utils.evaluation.evaluators import Evaluators
from utils.evaluation.figures import standard_error_of, terms_of
from utils.files import atomic_write_json, sha256_of_file
from utils.inference.measures import PitchMeter, automatic_shift
from utils.inference.session import VoiceSession
from utils.verification.alignment import seam_scores

PARTS = ("feeding", "own", "sung", "notes", "laughter", "whisper", "noise", "outside")
OCTAVE = 12
COLUMNS = {
    "resemblyzer_converted_to_target": "resemblyzer",
    "ecapa_converted_to_target": "ECAPA",
    "whisper_character_error": "character error",
    "distillmos_converted": "DistillMOS",
    "within_20_cents": "within 20 cents",
    "of_what_can_be_told": "of what can be told",
    "seam_db": "steps at seams, dB",
}
OF_SOME_ROWS = ("within_20_cents", "of_what_can_be_told", "seam_db")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Condition:
    """A row of the table.

    Attributes:
        name: of the row.
        clips: makes the recordings.
        feed: the way that the graph is fed; None: not converted.
        has_words: whether somebody can read them.
    """

    name: str
    clips: Callable[[], list[Clip]]
    feed: str | None = WHOLE
    has_words: bool = True


class Judge:
    """Fills the rows of one voice.

    Args:
        graph: of the voice.
        recordings: of the target.
        options: of the command line.
        evaluators: networks.
    """

    def __init__(self, graph: Path, recordings: Path, options: argparse.Namespace, evaluators: Evaluators) -> None:
        self.voice, self.options, self._evaluators = VoiceSession.open(graph), options, evaluators
        self.rate, self._meter = self.voice.sample_rate, PitchMeter()
        self._target = spread(list_audio(recordings), NUM_TARGET_CLIPS)
        self.voice.check_controls(dict(options.control))
        self._feeds = feeds_of(self.voice)
        self._clips = ClipMaker(options, self.rate, self._target)
        self._work = work_folder(options) / f"{graph.stem}_{sha256_of_file(graph)[:8]}"

    def conditions(self) -> list[Condition]:
        """Return the rows of the parts that are asked for, and whose recordings are there."""
        clips = self._clips
        rows: dict[str, Callable[[], list[Condition]]] = {
            "feeding": lambda: [
                Condition("the strangers themselves", clips.plain, None),
                *(Condition(name, clips.plain, name) for name in self._feeds),
            ],
            "own": lambda: [
                Condition("the target's own recordings", clips.own, None),
                Condition("the target's own through the voice", clips.own),
            ],
            "sung": lambda: [
                row for name, hz in SUNG_HZ.items() for row in self._sung(name, partial(clips.singing, hz))
            ],
            "notes": lambda: self._sung("recorded sung notes", clips.notes, has_words=False),
            "laughter": lambda: self._sung("bursts of laughter", clips.laughing, has_words=False),
            "whisper": lambda: [Condition("whispered", clips.whispering)],
            "noise": lambda: [Condition(item.name, partial(clips.disturbed, item.change)) for item in disturbances()],
            "outside": lambda: [Condition(f"from outside: {self.options.outside.name}", clips.outside)],
        }
        return [row for part in self.options.parts for row in rows[part]()]

    @staticmethod
    def _sung(name: str, clips: Callable[[], list[Clip]], *, has_words: bool = True) -> list[Condition]:
        return [
            Condition(f"{name}, as they are", clips, None, has_words),
            Condition(name, clips, WHOLE, has_words),
            Condition(f"{name}, with history", clips, HISTORY, has_words),
        ]

    def rows_of(self, condition: Condition) -> list[dict[str, Any]]:
        """Return the rows of all clips of a condition, computed once."""
        folder = self._work / re.sub(r"\W+", "_", condition.name)
        done = folder / "rows.json"
        options = self.options
        wanted = {
            "seconds": options.seconds,
            "source_count": options.source_count,
            **{name: str(getattr(options, name)) for name in ("sources", "outside", "notes")},
            "target": [str(path) for path in self._target],
            "evaluators": list(options.evaluators),
            "language": options.language,
            # absent where none are given, so that rows of before are found again
            **({"controls": dict(options.control)} if options.control else {}),
        }
        stored = json.loads(done.read_text("utf-8")) if done.is_file() else {}
        if stored.get("wanted") == wanted:
            return list(stored["rows"])
        empty_folder(folder)
        clips = condition.clips()
        extra = {clip.name: self._convert(clip, condition, folder) for clip in clips}
        sources = [folder / "clean" / f"{clip.name}.wav" for clip in clips]
        evaluators = self._evaluators if condition.has_words else replace(self._evaluators, recognizers={})
        found = evaluate(folder / "converted", sources, self._target, evaluators)
        rows = [{**row, **extra[str(row["file"])]} for row in found.files]
        atomic_write_json(done, {"wanted": wanted, "rows": rows})
        return rows

    def _convert(self, clip: Clip, condition: Condition, folder: Path) -> dict[str, float]:
        """Write clean and converted audio; return figures beside those of the evaluators."""
        controls = dict(self.options.control)
        if condition.feed is None:
            made, shift = clip.given, 0
        else:
            step = OCTAVE if clip.sung else 1
            heard = clip.given if clip.sung else clip.clean
            shift = automatic_shift(self._meter.track(heard, self.rate), median_hz_of(self.voice), step)
            made = self._feeds[condition.feed](clip.given, controls | {"pitch_shift": float(shift)})
        save_audio(folder / "clean" / f"{clip.name}.wav", clip.clean, self.rate)
        save_audio(folder / "converted" / f"{clip.name}.wav", made, self.rate)
        extra = {}
        if clip.sung:
            cents = cents_from(made, self.rate, clip.sung, shift)
            extra["within_20_cents"] = share_near(cents)
            extra["of_what_can_be_told"] = share_near(cents, clip.can_tell)
        block = block_samples(condition.feed, self.rate) if condition.feed else None
        if block:
            whole = self.voice.run(clip.given, controls | {"pitch_shift": float(shift)})
            extra["seam_db"] = seam_scores(whole, made, block).step_db
        return extra


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = parse(arguments)
    return run_program("voice_judge", lambda: measure(options))


def measure(options: argparse.Namespace) -> int:
    """Judge all voices, print a table of each; return the exit code.

    Raises:
        ConfigError: if a part is unknown.
        DataError: if a graph or recordings are absent.
    """
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        raise ConfigError(f"--parts={unknown[0]} is unknown; allowed: {', '.join(PARTS)}")
    for place in (path for pair in options.voice for path in pair):
        if not place.exists():
            raise DataError(f"--voice {place} is not there; give a graph and a folder of recordings of its target")
    check_recordings(options)
    absent = [
        part
        for part in ("outside", "notes")
        if part in options.parts and is_absent(getattr(options, part), f"--{part}")
    ]
    options.parts = [part for part in options.parts if part not in absent]
    evaluators = evaluators_of(options)
    result: dict[str, Any] = {}
    for graph, recordings in options.voice:
        judge = Judge(graph, recordings, options, evaluators)
        rows: dict[str, Any] = {}
        for condition in judge.conditions():
            log.info("%s: %s", graph.stem, condition.name)
            rows[condition.name] = judge.rows_of(condition)
        show(graph.stem, rows)
        result[graph.stem] = rows
    write_figures(options, "voice_judge", result)
    return 0


def show(name: str, conditions: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Print the table of a voice."""
    rows = [[condition, *(cell(files, key) for key in COLUMNS)] for condition, files in conditions.items()]
    emit(table(rows, [name, *COLUMNS.values()]))
    emit()


def cell(files: Sequence[Mapping[str, Any]], key: str) -> str:
    """Return a figure over files with its standard error; "-" where it was not measured."""
    terms = terms_of(files, key)
    if terms is None:
        return "-"
    error = standard_error_of(terms)
    return f"{terms.value:.3f}" if error is None else f"{terms.value:.3f} ± {error:.3f}"


def control(text: str) -> tuple[str, float]:
    """Read --control.

    Raises:
        argparse.ArgumentTypeError: if it is no name=value, or of the pitch, which is found.
    """
    name, equals, value = text.partition("=")
    try:
        if not equals or name == "pitch_shift":
            raise ValueError
        return name, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE of a control other than pitch_shift") from None


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = BenchmarkParser("voice_judge", __doc__)
    parser.add_argument(
        "--voice", type=Path, nargs=2, action="append", required=True, metavar=("GRAPH", "RECORDINGS"),
        help="a voice and recordings of its target; may be given several times",
    )  # fmt: skip
    parser.add_argument("--parts", type=lambda text: text.split(","), default=list(PARTS), help=",".join(PARTS))
    parser.add_sources(12)
    for name, folder, words in (("outside", "meetings", "from outside"), ("notes", "sung_notes", "of sung notes")):
        parser.add_argument(f"--{name}", type=Path, default=CORPORA / folder, help=f"recordings {words}")
    parser.add_argument("--seconds", type=positive_number, default=6.0, help="of each recording at most")
    parser.add_argument(
        "--control", type=control, action="append", default=[], metavar="NAME=VALUE",
        help="given to the graph in each call, beside pitch_shift, which is found; may be given several times",
    )  # fmt: skip
    parser.add_evaluators()
    parser.add_work()
    return parser.parse_args(arguments)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
