"""Recordings <speaker>_<sentence> for content encoders: who says what, which clips are chosen, which are left out."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from utils.audio.frames import FEATURE_HOP, FEATURE_RATE, pad_to_frames
from utils.audio.io import load_audio
from utils.audio.listing import list_audio
from utils.errors import DataError

MIN_SECONDS = 0.5
SILENT_PEAK = 1e-3  # -60 dB of full scale
MAX_LINES = 20  # that name clips left out
log = logging.getLogger(__name__)

Files = dict[str, dict[str, Path]]  # speaker -> sentence -> file
Audio = dict[str, dict[str, np.ndarray]]  # speaker -> sentence -> 16 kHz samples [T]


def list_clips(folder: Path, *, speaker_parts: int | None = None) -> Files:
    """Return the recordings of a folder and its sub-folders; of two with the same speaker and sentence the first.

    Where names have more than one underscore, all are split at the same one: that which finds the most sentences said
    by two speakers; without such, one that finds two speakers; of equals the first.

    Args:
        folder: files <speaker>_<sentence>.
        speaker_parts: how many parts between underscores name the speaker, where what is found would be wrong.
    Raises:
        DataError: if a name does not tell speaker and sentence.
    """
    paths = list_audio(folder)
    lengths = [len(path.stem.split("_")) for path in paths]
    needed = speaker_parts or 1
    for path, length in zip(paths, lengths, strict=True):
        if length <= needed or "" in _names(path, needed):
            form = "_".join([*["<speaker>"] * needed, "<sentence>"])
            raise DataError(f"{path.name} is not named {form}; rename it or choose another --corpus")
    fewest = min(lengths)
    # counted from the front and from the back; max() keeps the first of equals
    splits = [speaker_parts] if speaker_parts else [*range(1, fewest), *range(-1, -fewest, -1)]
    found = max((_split(paths, split) for split in splits), key=_worth)
    warn_left_out(
        [
            f"{path} (the same speaker and sentence as {kept})"
            for speaker, sentences in found.items()
            for kept, *others in sentences.values()
            for path in others
        ]
    )
    return {speaker: {name: paths[0] for name, paths in sentences.items()} for speaker, sentences in found.items()}


def _names(path: Path, split: int) -> tuple[str, str]:
    parts = path.stem.split("_")
    return "_".join(parts[:split]), "_".join(parts[split:])


def _split(paths: Sequence[Path], split: int) -> dict[str, dict[str, list[Path]]]:
    found: dict[str, dict[str, list[Path]]] = {}
    for path in paths:
        speaker, sentence = _names(path, split)
        found.setdefault(speaker, {}).setdefault(sentence, []).append(path)
    return found


def _worth(found: Mapping[str, Mapping[str, Any]]) -> tuple[int, bool]:
    return sum(count > 1 for count in speakers_of(found).values()), len(found) > 1


def speakers_of(clips: Mapping[str, Mapping[str, Any]]) -> Counter[str]:
    """Return by how many speakers each sentence is said."""
    return Counter(name for sentences in clips.values() for name in sentences)


def choose(clips: Files, num_sentences: int) -> Files:
    """Return num_sentences clips of each speaker at most, first those that most speakers say."""
    count = speakers_of(clips)
    return {
        speaker: {
            name: sentences[name] for name in sorted(sentences, key=lambda name: (-count[name], name))[:num_sentences]
        }
        for speaker, sentences in clips.items()
    }


def read_clip(path: Path) -> np.ndarray:
    """Return 16 kHz audio [T] of whole frames.

    Raises:
        DataError: if the file cannot be read, is shorter than half a second or silent.
    """
    audio = load_audio(path, FEATURE_RATE)
    if len(audio) < MIN_SECONDS * FEATURE_RATE:
        raise DataError(f"{path}: {len(audio) / FEATURE_RATE:.3f} s, shorter than {MIN_SECONDS:g} s")
    if float(np.abs(audio).max()) < SILENT_PEAK:
        raise DataError(f"{path}: silent")
    return pad_to_frames(audio, FEATURE_HOP)


def read_clips(clips: Files, num_sentences: int) -> Audio:
    """Choose and read clips; one that cannot be used is named, and another one is taken where there is one.

    Raises:
        DataError: if fewer than two speakers are left.
    """
    usable = {speaker: dict(sentences) for speaker, sentences in clips.items()}
    audio: dict[Path, np.ndarray] = {}
    reasons: list[str] = []
    is_complete = False
    while not is_complete:
        is_complete = True
        chosen = choose(usable, num_sentences)
        for speaker, sentences in chosen.items():
            for name, path in sentences.items():
                try:
                    audio[path] = audio[path] if path in audio else read_clip(path)
                except DataError as error:
                    reasons.append(str(error))
                    del usable[speaker][name]
                    is_complete = False
    warn_left_out(reasons)
    used = {speaker: sentences for speaker, sentences in chosen.items() if sentences}
    if len(used) < 2:
        raise DataError(f"only one speaker ({', '.join(used) or 'none'}); at least two are needed")
    return {speaker: {name: audio[path] for name, path in sentences.items()} for speaker, sentences in used.items()}


def describe(clips: Files, audio: Audio) -> None:
    """Say who is compared by what, and why a figure will be missing."""
    count = speakers_of(audio)
    for speaker, sentences in audio.items():
        common = sum(count[name] > 1 for name in sentences)
        log.info(
            "speaker %s: %d of %d clips, %d of them said by another speaker too",
            speaker, len(sentences), len(clips[speaker]), common,
        )  # fmt: skip
    if max(count.values()) < 2:
        log.warning(
            "no content ratio: no sentence is said by two speakers; is the part before the sentence the speaker?"
        )
    elif all(len(sentences) < 2 for sentences in audio.values()):
        log.warning("no content ratio: no speaker has two clips")
    single = [speaker for speaker, sentences in audio.items() if len(sentences) < 2]
    if len(audio) - len(single) < 2:
        log.warning("no speaker leak: fewer than two speakers have two clips")
    elif single:
        log.warning("left out of the speaker leak, which needs two clips: %s", ", ".join(single))


def warn_left_out(reasons: Sequence[str]) -> None:
    """Name what is not used."""
    for reason in reasons[:MAX_LINES]:
        log.warning("left out: %s", reason)
    if len(reasons) > MAX_LINES:
        log.warning("left out: %d more", len(reasons) - MAX_LINES)
