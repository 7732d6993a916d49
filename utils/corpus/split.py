"""Decide which recordings are held out from training."""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Literal

from utils.corpus.copies import Copy, groups_of
from utils.corpus.sound_print import HOP_FRAMES

Split = Literal["train", "val"]
Before = Literal["train", "val", "both"]
FEWEST_FILES = 4
LARGE_SHARE = 0.2  # a file that is more of the dataset than this is not held out while there are others
SMALL_FRAMES = 100
LITTLE_HOPS = 10  # clips of copies begin and end at slightly other places


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
    files: list[SplitFile], previous: dict[str, Before], settings: HeldOutSettings, copies: Sequence[Copy] = ()
) -> dict[str, tuple[Split, ...]]:
    """Choose held-out recordings.

    From four recordings on, whole files are held out: the share of all files, at least min_files. Which ones follows
    from a hash of their content, spread over the speakers in proportion; a speaker always keeps a file to train on.
    Files keep the split that they had before, and new ones fill the quota. With one to three recordings, and where no
    whole one can be spared, the end of one of them is held out instead (clips do not overlap): without held-out clips
    no state of a training could be compared with another.

    Recordings that share sound count as one and lie on one side; of those that share it with a held-out end, the clips
    that have it are held out too.

    Args:
        files: the usable recordings, each with another checksum.
        previous: checksum -> split in the dataset as it was before, of known files only; "both" where only the end
            was held out.
        settings: how many to hold out.
        copies: the pairs of these files that share sound, by their places in the list.
    Returns:
        checksum -> the split of each clip.
    """
    held_out: list[set[int]] = [set() for _ in files]
    if settings.share or settings.min_files:
        groups = groups_of(len(files), copies)
        units, before = _units(files, groups, previous)
        speakers = Counter(
            group for group, _ in {(group, item.speaker) for group, item in zip(groups, files, strict=True)}
        )
        # one that two speakers have, by mistake, may be all that one of them has
        candidates = [unit for group, unit in units.items() if speakers[group] == 1]
        whole = _held_out_files(candidates, before, settings) if len(units) >= FEWEST_FILES else []
        chosen = {item.checksum for item in whole}
        for index, item in enumerate(files):
            if units[groups[index]].checksum in chosen:
                held_out[index] = set(range(len(item.clip_frames)))
        if not chosen:
            held_out = _held_out_end(files, previous, settings.share, copies)
    return {
        item.checksum: tuple("val" if clip in chosen else "train" for clip in range(len(item.clip_frames)))
        for item, chosen in zip(files, held_out, strict=True)
    }


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


def _units(
    files: list[SplitFile], groups: list[int], previous: dict[str, Before]
) -> tuple[dict[int, SplitFile], dict[str, Before]]:
    """Make one file of each group of files that share sound, and one earlier split."""
    members: dict[int, list[SplitFile]] = defaultdict(list)
    for group, item in zip(groups, files, strict=True):
        members[group].append(item)
    units: dict[int, SplitFile] = {}
    before: dict[str, Before] = {}
    for group, items in members.items():
        unit = min(items, key=_chance)
        units[group] = replace(unit, clip_frames=tuple(length for item in items for length in item.clip_frames))
        known = {previous[item.checksum] for item in items if item.checksum in previous}
        if known:
            # what a training has seen of a sound is not held out from now on
            before[unit.checksum] = known.pop() if len(known) == 1 else "train"
    return units, before


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


def _held_out_end(
    files: list[SplitFile], previous: dict[str, Before], share: float, copies: Sequence[Copy]
) -> list[set[int]]:
    """Return the clips to hold out of each file: the last of one, held out before or else the longest, and copies."""
    held_out: list[set[int]] = [set() for _ in files]
    divisible = [index for index, item in enumerate(files) if len(item.clip_frames) > 1]
    if not divisible:
        return held_out

    def preference(index: int) -> tuple[bool, int, str]:
        item = files[index]
        return previous.get(item.checksum) == "both", item.num_frames, _chance(item)

    chosen = max(divisible, key=preference)
    lengths = files[chosen].clip_frames
    wanted = math.ceil(share * sum(item.num_frames for item in files))
    count = frames = 0
    while count < len(lengths) // 2 and (count < 2 or frames < wanted):
        count += 1
        frames += lengths[-count]
    held_out[chosen] = set(range(len(lengths) - count, len(lengths)))
    for copy in copies:
        if chosen in (copy.first, copy.second):
            other, spans = copy.in_other(chosen, sum(lengths[:-count]) // HOP_FRAMES)
            held_out[other] |= {clip for span in spans for clip in _clips_in(files[other], span)}
    return held_out


def _clips_in(item: SplitFile, span: tuple[int, int]) -> list[int]:
    """Return the clips of a file that have more than a little of a span of hops."""
    ends = list(accumulate(length / HOP_FRAMES for length in item.clip_frames))
    starts = [0.0, *ends]
    shared = [min(end, span[1]) - max(start, span[0]) for start, end in zip(starts, ends, strict=False)]
    return [clip for clip, hops in enumerate(shared) if hops > LITTLE_HOPS]


def _chance(item: SplitFile) -> str:
    return hashlib.sha256(f"held-out:{item.checksum}".encode()).hexdigest()
