"""What the student learns from: levelled audio and the teacher's features of it, 50 frames a second."""

import functools
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from recipes.content_encoder.teacher import MIN_SECONDS, TEACHER_VERSION, MoonshineEncoder, align, set_level
from recipes.corpora import Corpus, Recording, list_recordings
from utils.audio.frames import FEATURE_RATE, pad_to_frames
from utils.audio.io import load_audio
from utils.console import table
from utils.errors import DataError, FormatError
from utils.features.content.network import FRAME_SAMPLES
from utils.files import atomic_write, sha256_of_json
from utils.training.checkpoints import read_plain

SCHEMA_VERSION = 2
log = logging.getLogger(__name__)


class Clip(NamedTuple):
    """A recording as the student sees it.

    Attributes:
        recording: where it came from.
        audio: levelled samples at 16 kHz, [F * 320] int16.
        feature: the teacher's features, [F, 288] float16, 50 frames a second.
    """

    recording: Recording
    audio: Tensor
    feature: Tensor


@dataclass(frozen=True)
class Features:
    """All clips and the share of the examples that each corpus gives."""

    clips: list[Clip]
    shares: dict[str, float]

    def digest(self) -> str:
        """Return a hash of which recordings they are of, however the folders are called, and of the shares."""
        clips = [
            [item.corpus, item.speaker, item.path.name, item.is_held_out, len(clip.feature)]
            for clip in self.clips
            for item in [clip.recording]
        ]
        return sha256_of_json([clips, self.shares])


def make_clip(recording: Recording) -> Clip | str:
    """Compute one clip; returns the reason instead if the recording cannot be used."""
    torch.set_num_threads(1)
    try:
        audio = load_audio(recording.path, FEATURE_RATE)
    except DataError as error:
        return str(error)
    if len(audio) < MIN_SECONDS * FEATURE_RATE:
        return f"{recording.path}: shorter than {MIN_SECONDS:g} s"
    levelled = pad_to_frames(set_level(audio), FRAME_SAMPLES)
    feature = align(_teacher().encode(levelled), len(levelled) // FRAME_SAMPLES)
    samples = torch.from_numpy(np.round(levelled * 32767)).to(torch.int16)
    return Clip(recording, samples, torch.from_numpy(feature).half())


@functools.lru_cache(maxsize=1)
def _teacher() -> MoonshineEncoder:
    """Return this process's teacher."""
    return MoonshineEncoder()


def save_features(path: Path, features: Features) -> None:
    """Write clips as plain data, readable without executing code."""
    recordings = [(clip.recording, str(clip.recording.path)) for clip in features.clips]
    content: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "teacher": f"moonshine-voice {TEACHER_VERSION} tiny-en encoder",
        "shares": features.shares,
        "recordings": [[item.corpus, item.speaker, name, item.is_held_out] for item, name in recordings],
        "audio": [clip.audio for clip in features.clips],
        "feature": [clip.feature for clip in features.clips],
    }
    atomic_write(path, functools.partial(torch.save, content))


def load_features(path: Path) -> Features:
    """Read what save_features wrote; the tensors stay on disk until they are used.

    Raises:
        DataError: if the file is absent.
        FormatError: if it is damaged or of another kind.
    """
    if not path.is_file():
        raise DataError(f"{path} is not a file; python -m recipes.content_encoder makes it")
    content = read_plain(path, "the teacher's features", mmap=True)
    if not isinstance(content, dict) or content.get("schema_version") != SCHEMA_VERSION:
        raise FormatError(f"{path} was not written by this version of the recipe; delete it and it is made again")
    clips = [
        Clip(Recording(corpus, speaker, Path(name), is_held_out), audio, feature)
        for (corpus, speaker, name, is_held_out), audio, feature in zip(
            content["recordings"], content["audio"], content["feature"], strict=True
        )
    ]
    return Features(clips, content["shares"])


def minutes_table(clips: Sequence[Clip]) -> str:
    """Lay out clips, speakers and minutes of each corpus, training and held out apart."""
    groups: dict[tuple[str, str], list[Clip]] = {}
    for clip in clips:
        part = "held out" if clip.recording.is_held_out else "training"
        groups.setdefault((clip.recording.corpus, part), []).append(clip)
    rows: list[list[object]] = [
        [*key, len(group), len({clip.recording.speaker for clip in group}),
         round(sum(len(clip.audio) for clip in group) / FEATURE_RATE / 60, 1)]
        for key, group in groups.items()
    ]  # fmt: skip
    return table(rows, ["corpus", "part", "clips", "speakers", "minutes"])


def make_features(corpora: Sequence[Corpus], held_out: Mapping[str, int], path: Path, *, workers: int) -> Features:
    """Compute the teacher's features of all recordings and write them to a file; unusable recordings are named.

    Args:
        corpora: folders of recordings with their shares of the examples.
        held_out: how many speakers of a corpus are kept for validation.
        path: file to write, about 4 MB a minute.
        workers: processes.
    Raises:
        DataError: if the teacher is not installed, or nothing of a corpus can be used.
    """
    _teacher()  # is it installed? before anything is read
    recordings = list_recordings(corpora, held_out)
    # threads of a forked process do not survive, so the workers start afresh
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        results = list(pool.map(make_clip, recordings, chunksize=8))
    for reason in (result for result in results if isinstance(result, str)):
        log.warning("left out: %s", reason)
    clips = [result for result in results if isinstance(result, Clip)]
    used = {clip.recording.corpus for clip in clips if not clip.recording.is_held_out}
    unused = [corpus.name for corpus in corpora if corpus.name not in used]
    if unused:
        raise DataError(
            f"nothing of {', '.join(unused)} can be used for training: each file is named above, held out or belongs "
            "to an earlier corpus"
        )
    features = Features(clips, {corpus.name: corpus.share for corpus in corpora})
    save_features(path, features)
    log.info("%d clips of %d files -> %s", len(features.clips), len(results), path)
    return features
