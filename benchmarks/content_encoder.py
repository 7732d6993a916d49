"""Judge content encoders: do they keep what was said and forget who said it?

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
import itertools
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import librosa
import numpy as np
import torch

from benchmarks.bars import Bar, all_reached, plain_bars, show_bars
from benchmarks.content_clips import Files, describe, list_clips, read_clips
from benchmarks.content_peers import OURS, OURS_ONNX, TEACHER, Encode, load_encoders
from benchmarks.machine import least_factor
from benchmarks.options import new_file
from utils.audio.frames import FEATURE_RATE
from utils.audio.listing import list_audio
from utils.console import emit, table
from utils.errors import DataError, WorkbenchError
from utils.files import atomic_write_json

CORPORA = Path(__file__).resolve().parents[2] / "shared" / "corpora"
PARALLEL_SPEAKERS = ("flemishguy", "nathalie")
ENGLISH_RATIO, DUTCH_RATIO = 4.0, 3.0
LEAK_MARGIN = 0.05
MAX_REAL_TIME_FACTOR = 0.01

Clips = dict[str, dict[str, np.ndarray]]  # speaker -> sentence -> features [F, D]


@dataclass(frozen=True)
class Figures:
    """What was measured of one encoder.

    Attributes:
        content_ratio: higher is better; None if no sentence is spoken by two speakers.
        speaker_leak: lower is better; None if no two speakers have two clips.
        chance: the leak of features that know nothing of the speaker.
        real_time_factor: processor seconds for a second of audio on one thread.
    """

    content_ratio: float | None
    speaker_leak: float | None
    chance: float
    real_time_factor: float


def remove_mean(clips: Clips) -> Clips:
    """Subtract the mean over all frames of all clips."""
    everything = np.concatenate([feature for sentences in clips.values() for feature in sentences.values()])
    mean = everything.mean(axis=0)
    return {
        speaker: {name: feature - mean for name, feature in sentences.items()} for speaker, sentences in clips.items()
    }


def warped_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Return the mean cosine distance along the best time alignment of features [F, D] and [G, D]."""
    cost = 1.0 - unit_rows(first) @ unit_rows(second).T
    total, path = librosa.sequence.dtw(C=cost.astype(np.float64))
    return float(total[-1, -1] / len(path))


def content_ratio(clips: Clips) -> float | None:
    """Return (different sentence, same speaker) over (same sentence, other speaker); None without parallel sentences.

    Every sentence of two speakers is compared, and every sentence of a speaker with the next one of that speaker.

    Args:
        clips: features with the mean removed.
    """
    same_sentence = [
        warped_distance(clips[one][name], clips[other][name])
        for one, other in itertools.combinations(sorted(clips), 2)
        for name in sorted(clips[one].keys() & clips[other].keys())
    ]
    same_speaker = [
        warped_distance(sentences[name], sentences[following])
        for sentences in clips.values()
        for name, following in itertools.pairwise(sorted(sentences))
    ]
    return float(np.mean(same_speaker) / np.mean(same_sentence)) if same_sentence and same_speaker else None


def speaker_leak(clips: Clips) -> float | None:
    """Return how often a clip's mean feature is nearest (cosine) to its own speaker's other clips.

    Args:
        clips: features with the mean removed; speakers with a single clip are left out.
    """
    means = {
        speaker: np.stack([feature.mean(axis=0) for feature in sentences.values()])
        for speaker, sentences in clips.items()
        if len(sentences) > 1
    }
    if len(means) < 2:
        return None
    centres = {speaker: rows.mean(axis=0) for speaker, rows in means.items()}
    hits = []
    for speaker, rows in means.items():
        for row in rows:
            without = (centres[speaker] * len(rows) - row) / (len(rows) - 1)
            candidates = {**centres, speaker: without}
            nearest = max(candidates, key=lambda name: float(unit_rows(candidates[name][None])[0] @ row))
            hits.append(nearest == speaker)
    return float(np.mean(hits))


def unit_rows(features: np.ndarray) -> np.ndarray:
    """Return [F, D] with every row scaled to length 1; a row of zeros stays."""
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-9)


def measure(encode: Encode, audio: Mapping[str, Mapping[str, np.ndarray]]) -> Figures:
    """Encode 16 kHz clips, speaker -> sentence -> [T], and take all figures."""
    encode(next(iter(next(iter(audio.values())).values())))  # the first call loads and compiles
    # processor time of the one thread: the same as the clock when nothing else runs, and robust when something does
    started = time.process_time()
    clips = {
        speaker: {name: encode(samples) for name, samples in sentences.items()} for speaker, sentences in audio.items()
    }
    elapsed = time.process_time() - started
    seconds = sum(len(samples) for sentences in audio.values() for samples in sentences.values()) / FEATURE_RATE
    clips = remove_mean(clips)
    speakers = [speaker for speaker, sentences in clips.items() if len(sentences) > 1]
    return Figures(content_ratio(clips), speaker_leak(clips), 1 / max(1, len(speakers)), elapsed / seconds)


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


def judge(results: Mapping[str, Figures], ratio_bar: float) -> list[Bar]:
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


def positive(text: str) -> int:
    """Return a whole number above 0 of the command line."""
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.content_encoder", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--corpus", type=Path, help="folder of <speaker>_<sentence>.wav (default: shared corpora)")
    parser.add_argument("--sentences", type=positive, default=20, help="clips of each speaker")
    parser.add_argument(
        "--speaker-parts",
        type=positive,
        help="parts between underscores that name the speaker (2: en_ann_01 is of en_ann; default: found)",
    )
    parser.add_argument(
        "--ratio-bar",
        type=float,
        help=f"content ratio to reach (default {ENGLISH_RATIO:g}; {DUTCH_RATIO:g} for the shared corpora, Dutch)",
    )
    parser.add_argument("--weights", default="content_builtin.safetensors", help="weights of the builtin encoder")
    parser.add_argument("--json", type=new_file, help="write the figures here too")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 1 if the shipped encoder misses a bar."""
    options = parse(arguments)
    logging.basicConfig(level=logging.INFO, format="content_encoder: %(message)s")
    torch.set_num_threads(1)
    try:
        clips = find_clips(options.corpus, speaker_parts=options.speaker_parts)
        audio = read_clips(clips, options.sentences)
        describe(clips, audio)
        encoders = load_encoders(options.weights)
        results = {name: measure(peer.encode, audio) for name, peer in encoders.items()}
        machine = least_factor(encoders[OURS].encode)
    except WorkbenchError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    show(results)
    emit(f"\n{machine}")
    default_bar = DUTCH_RATIO if options.corpus is None else ENGLISH_RATIO
    bars = judge(results, default_bar if options.ratio_bar is None else options.ratio_bar)
    emit()
    show_bars(bars)
    if options.json:
        plain = {name: asdict(figures) for name, figures in results.items()}
        atomic_write_json(options.json, {"encoders": plain, "machine": machine, "bars": plain_bars(bars)})
    return 0 if all_reached(bars) else 1


def show(results: Mapping[str, Figures]) -> None:
    """Print the table."""
    rows = [
        [name, *("-" if value is None else f"{value:.3g}" for value in asdict(figures).values())]
        for name, figures in results.items()
    ]
    emit(table(rows, ["encoder", "content ratio", "speaker leak", "chance", "RTF, 1 thread"]))


if __name__ == "__main__":
    sys.exit(main())
