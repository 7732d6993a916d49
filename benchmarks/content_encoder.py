"""Compare content encoders: do they keep what was said and forget who said it?

    python -m benchmarks.content_encoder [--corpus FOLDER] [--sentences 20] [--ratio-bar 4] [--json FILE]

FOLDER holds <speaker>_<sentence>.wav or .flac. Of each speaker those sentences are taken that most speakers say. Clips
that are silent, shorter than half a second or damaged are left out and named. Beside the shipped encoder stand MFCC
and, where their packages are installed, the encoder that it learned from and that of Whisper base.

Content ratio: mean time-warped cosine distance of different sentences by one speaker over that of one sentence by two
speakers; 1 tells nothing apart. Speaker leak: how often the nearest speaker by mean feature is the right one; best is
chance. Both remove the encoder's mean over all clips first.

Bars of the shipped encoder: its content ratio (English 4, Dutch 3; for other speech give --ratio-bar), a leak at most
.05 above that of the encoder that it learned from, real-time factor of the ONNX form at most .01 on one thread. The
exit code is 1 if one is missed or cannot be measured.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks.bars import Bar, all_reached, plain_bars, show_bars
from benchmarks.comparison import cell
from benchmarks.content_clips import Files, describe, list_clips, read_clips
from benchmarks.content_measures import Figures, measure
from benchmarks.content_peers import OURS, OURS_ONNX, TEACHER, load_encoders
from benchmarks.machine import least_factor
from benchmarks.options import CORPORA, BenchmarkParser, write_figures
from utils.audio.listing import list_audio
from utils.command_line import run_program, whole_number
from utils.console import emit, table
from utils.errors import DataError

PARALLEL_SPEAKERS = ("flemishguy", "nathalie")
ENGLISH_RATIO, DUTCH_RATIO = 4.0, 3.0
LEAK_MARGIN = 0.05
MAX_REAL_TIME_FACTOR = 0.01


def find_clips(folder: Path | None, *, speaker_parts: int | None = None) -> Files:
    """Return speaker -> sentence -> file; by default the parallel sentences of the shared corpora.

    Raises:
        DataError: if the recordings are absent, their names do not tell speaker and sentence, or one speaker is found.
    """
    if folder is None:
        if not CORPORA.is_dir():
            raise DataError(f"{CORPORA} is absent; give recordings <speaker>_<sentence>.wav with --corpus")
        return {name: {path.stem: path for path in list_audio(CORPORA / name)} for name in PARALLEL_SPEAKERS}
    found = list_clips(folder, speaker_parts=speaker_parts)
    if len(found) < 2:
        raise DataError(
            f"{folder}: only one speaker ({', '.join(found)}); at least two are needed "
            "(--speaker-parts 2 for names such as en_ann_01)"
        )
    return found


def bars(results: Mapping[str, Figures], ratio_bar: float) -> list[Bar]:
    """Return the bars of the shipped encoder; the leak is not measured without the encoder that it learned from."""
    ours = results[OURS]
    teacher_leak = results[TEACHER].speaker_leak if TEACHER in results else None
    return [
        Bar("content ratio", ours.content_ratio, ratio_bar, True),
        Bar(
            "speaker leak against the teacher's",
            ours.speaker_leak,
            None if teacher_leak is None else teacher_leak + LEAK_MARGIN,
            False,
        ),
        Bar("real-time factor as ONNX, one thread", results[OURS_ONNX].real_time_factor, MAX_REAL_TIME_FACTOR, False),
    ]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = BenchmarkParser("content_encoder", __doc__)
    parser.add_argument("--corpus", type=Path, help="folder of <speaker>_<sentence>.wav (default: shared corpora)")
    parser.add_argument("--sentences", type=whole_number, default=20, help="clips of each speaker")
    parser.add_argument(
        "--speaker-parts",
        type=whole_number,
        help="parts between underscores that name the speaker (2: en_ann_01 is of en_ann; default: found)",
    )
    parser.add_argument(
        "--ratio-bar",
        type=float,
        help=f"content ratio to reach (default {ENGLISH_RATIO:g}; {DUTCH_RATIO:g} for the shared corpora, Dutch)",
    )
    parser.add_argument("--weights", default="content_builtin.safetensors", help="weights of the builtin encoder")
    parser.add_json()
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 1 if the shipped encoder misses a bar."""
    options = parse(arguments)
    return run_program("content_encoder", lambda: compare(options))


def compare(options: argparse.Namespace) -> int:
    """Measure all encoders, print the tables; return the exit code."""
    torch.set_num_threads(1)
    clips = find_clips(options.corpus, speaker_parts=options.speaker_parts)
    audio = read_clips(clips, options.sentences)
    describe(clips, audio)
    encoders = load_encoders(options.weights)
    results = {name: measure(peer.encode, audio) for name, peer in encoders.items()}
    machine = least_factor(encoders[OURS].encode)
    show(results)
    emit(f"\n{machine}")
    default_bar = DUTCH_RATIO if options.corpus is None else ENGLISH_RATIO
    reached = bars(results, default_bar if options.ratio_bar is None else options.ratio_bar)
    emit()
    show_bars(reached)
    plain = {name: asdict(figures) for name, figures in results.items()}
    write_figures(options, "content_encoder", {"encoders": plain, "machine": machine, "bars": plain_bars(reached)})
    return 0 if all_reached(reached) else 1


def show(results: Mapping[str, Figures]) -> None:
    """Print the table."""
    rows = [[name, *(cell(value, ".3g") for value in asdict(each).values())] for name, each in results.items()]
    emit(table(rows, ["encoder", "content ratio", "speaker leak", "chance", "RTF, 1 thread"]))


if __name__ == "__main__":
    sys.exit(main())
