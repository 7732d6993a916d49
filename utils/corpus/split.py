"""Decide which recordings are held out from training."""

import hashlib
import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "val"]
Before = Literal["train", "val", "both"]
FEWEST_FILES = 4
LARGE_SHARE = 0.2  # a file that is more of the dataset than this is not held out while there are others
SMALL_FRAMES = 100


@dataclass(frozen=True)
class HeldOutSettings:
    """How held-out recordings are chosen.

    Attributes:
        share: part of the files to hold out.
        min_files: hold out at least so many where there are four or more; with share 0, 0 holds nothing out.
    """

    share: float
    min_files: int


@dataclass(frozen=True)
class SplitFile:
    """A recording as the choice of held-out ones sees it.

    Attributes:
        checksum: of the content; the only source of chance.
        speaker: who speaks.
        clip_frames: length of each clip.
    """

    checksum: str
    speaker: str
    clip_frames: tuple[int, ...]

    @property
    def num_frames(self) -> int:
        """Frames of all clips."""
        return sum(self.clip_frames)


def assign_splits(
    files: list[SplitFile], previous: dict[str, Before], settings: HeldOutSettings
) -> dict[str, tuple[Split, ...]]:
    """Choose held-out recordings.

    From four recordings on, whole files are held out: the share of all files, at least min_files. Which ones follows
    from a hash of their content, spread over the speakers in proportion; a speaker always keeps a file to train on.
    Files keep the split that they had before, and new ones fill the quota. With one to three recordings, and where no
    whole one can be spared, the end of one of them is held out instead (clips do not overlap): without held-out clips
    no state of a training could be compared with another.

    Args:
        files: the usable recordings, each with another checksum.
        previous: checksum -> split in the dataset as it was before, of known files only; "both" where only the end
            was held out.
        settings: how many to hold out.
    Returns:
        checksum -> the split of each clip.
    """
    held_out: dict[str, int] = {}
    if settings.share or settings.min_files:
        whole = _held_out_files(files, previous, settings) if len(files) >= FEWEST_FILES else []
        held_out = {item.checksum: len(item.clip_frames) for item in whole}
        held_out = held_out or _held_out_end(files, previous, settings.share)
    splits: dict[str, tuple[Split, ...]] = {}
    for item in files:
        count = held_out.get(item.checksum, 0)
        first = len(item.clip_frames) - count
        splits[item.checksum] = tuple("val" if index >= first else "train" for index in range(len(item.clip_frames)))
    return splits


def nothing_held_out(settings: HeldOutSettings | None) -> str:
    """Return why a dataset has nothing held out, and what to do; None where its description does not say how."""
    if settings == HeldOutSettings(share=0, min_files=0):
        return (
            "preprocess.held_out_share=0 and preprocess.held_out_files=0 hold nothing out, and train.py needs "
            "held-out clips to compare states by; run preprocess.py again with preprocess.held_out_share=0.05"
        )
    return (
        "nothing can be held out, as no recording has two clips and no speaker two of at least "
        f"{FEWEST_FILES} recordings, and train.py needs held-out clips to compare states by; add longer recordings, or "
        "more"
    )


def _held_out_files(files: list[SplitFile], previous: dict[str, Before], settings: HeldOutSettings) -> list[SplitFile]:
    wanted = min(max(settings.min_files, round(settings.share * len(files))), len(files) // 2)
    left = Counter(item.speaker for item in files)
    chosen: list[SplitFile] = []
    for item in _by_preference(files, previous):
        is_old = previous.get(item.checksum) == "val"
        if left[item.speaker] > 1 and (is_old or len(chosen) < wanted) and len(chosen) < len(files) // 2:
            chosen.append(item)
            left[item.speaker] -= 1
    return chosen


def _by_preference(files: list[SplitFile], previous: dict[str, Before]) -> list[SplitFile]:
    """Sort: held out before, then new, then trained on before; each by how far through its speaker's files it comes."""
    total = sum(item.num_frames for item in files)
    by_speaker: dict[str, list[SplitFile]] = defaultdict(list)
    for item in sorted(files, key=_chance):
        by_speaker[item.speaker].append(item)
    position = {
        item.checksum: (rank + 0.5) / len(group) for group in by_speaker.values() for rank, item in enumerate(group)
    }

    def preference(item: SplitFile) -> tuple[int, bool, float, str]:
        seen = 1 if item.checksum not in previous else 0 if previous[item.checksum] == "val" else 2
        is_unfit = item.num_frames > LARGE_SHARE * total or item.num_frames < SMALL_FRAMES
        return seen, is_unfit, position[item.checksum], _chance(item)

    return sorted(files, key=preference)


def _held_out_end(files: list[SplitFile], previous: dict[str, Before], share: float) -> dict[str, int]:
    """Return checksum -> number of last clips to hold out, for the file held out before or else the longest."""
    divisible = [item for item in files if len(item.clip_frames) > 1]
    if not divisible:
        return {}
    chosen = max(divisible, key=lambda item: (previous.get(item.checksum) == "both", item.num_frames, _chance(item)))
    wanted = math.ceil(share * sum(item.num_frames for item in files))
    count = frames = 0
    while count < len(chosen.clip_frames) // 2 and (count < 2 or frames < wanted):
        count += 1
        frames += chosen.clip_frames[-count]
    return {chosen.checksum: count}


def _chance(item: SplitFile) -> str:
    return hashlib.sha256(f"held-out:{item.checksum}".encode()).hexdigest()
