"""Which recordings are held out."""

import re
from collections import Counter

import numpy as np
import pytest

from utils.corpus.manifest import Clip
from utils.corpus.report import split_notes
from utils.corpus.split import Before, HeldOutSettings, Split, SplitFile, assign_splits


def files(count: int, *, speaker: str = "a", start: int = 0, clips: int = 3, frames: int = 300) -> list[SplitFile]:
    return [SplitFile(f"{speaker}{index:04d}", speaker, (frames,) * clips) for index in range(start, start + count)]


def split(items: list[SplitFile], previous: dict[str, Before] | None = None) -> dict[str, tuple[Split, ...]]:
    return assign_splits(items, previous or {}, HeldOutSettings(share=0.05, min_files=2))


def held_out(splits: dict[str, tuple[Split, ...]]) -> set[str]:
    return {key for key, values in splits.items() if "val" in values}


def as_previous(splits: dict[str, tuple[Split, ...]]) -> dict[str, Before]:
    return {key: "both" if len(set(values)) > 1 else values[0] for key, values in splits.items()}


@pytest.mark.parametrize(("count", "expected"), [(4, 2), (10, 2), (39, 2), (60, 3), (200, 10)])
def test_five_percent_of_the_files_but_at_least_two_are_held_out(count: int, expected: int) -> None:
    assert len(held_out(split(files(count)))) == expected


def test_files_are_held_out_whole() -> None:
    assert all(len(set(values)) == 1 for values in split(files(50)).values())


def test_split_depends_on_content_not_on_order() -> None:
    items = files(50)
    shuffled = [items[index] for index in np.random.default_rng(0).permutation(50)]

    assert split(items) == split(shuffled)


@pytest.mark.parametrize("added", [1, 7, 100])
def test_known_files_keep_their_split_when_files_are_added(added: int) -> None:
    before = split(files(60))

    after = split(files(60 + added), as_previous(before))

    assert {key: after[key] for key in before} == before
    assert len(held_out(after)) == round(0.05 * (60 + added))


def test_known_files_keep_their_split_when_files_leave() -> None:
    before = split(files(60))

    remaining = [item for item in files(60) if item.checksum in held_out(before) or item.checksum < "a0030"]

    after = split(remaining, as_previous(before))

    assert after == {key: before[key] for key in after}


def test_trained_file_moves_only_when_too_few_are_held_out() -> None:
    before = split(files(60))
    remaining = [item for item in files(60) if item.checksum not in held_out(before)]

    assert len(held_out(split(remaining, as_previous(before)))) == 3


def test_speakers_are_held_out_in_proportion() -> None:
    splits = split(files(200, speaker="a") + files(100, speaker="b"))

    assert Counter(key[0] for key in held_out(splits)) == {"a": 10, "b": 5}


def test_only_file_of_a_speaker_is_never_held_out() -> None:
    items = files(20) + [SplitFile(f"solo{index}", f"solo{index}", (300,)) for index in range(40)]

    assert all(key.startswith("a") for key in held_out(split(items)))


def test_file_that_is_most_of_the_dataset_is_trained_on() -> None:
    items = [*files(8), SplitFile("huge", "a", (1200,) * 200)]

    assert "huge" not in held_out(split(items))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_fewer_than_four_files_hold_out_the_end_of_one(count: int) -> None:
    splits = split(files(count, clips=30))

    assert [Counter(splits[key]) for key in held_out(splits)] == [
        {"train": 28, "val": 2} if count == 1 else splits_of(count)
    ]


def splits_of(count: int) -> dict[str, int]:
    """5 % of `count` files of 30 clips, rounded up."""
    wanted = -(-count * 30 * 5 // 100)
    return {"train": 30 - wanted, "val": wanted}


def test_held_out_end_stays_in_the_same_file() -> None:
    before = split(files(1, clips=30))
    more = [*files(1, clips=30), *files(1, start=1, clips=60)]

    assert held_out(split(more, as_previous(before))) == {"a0000"}


def test_file_with_held_out_end_is_trained_on_once_there_are_enough_files() -> None:
    before = split(files(1, clips=30))

    after = split([*files(1, clips=30), *files(20, start=1)], as_previous(before))

    assert after["a0000"] == ("train",) * 30


def test_single_clip_is_trained_on() -> None:
    assert split(files(1, clips=1)) == {"a0000": ("train",)}


def test_nothing_is_held_out_when_told_so() -> None:
    splits = assign_splits(files(20), {}, HeldOutSettings(share=0.0, min_files=0))

    assert not held_out(splits)


def of_speakers(count: int, *, clips: int) -> list[SplitFile]:
    """One recording of each speaker; the later the longer."""
    return [SplitFile(f"{index}", f"speaker{index}", (300 + index,) * clips) for index in range(count)]


@pytest.mark.parametrize("count", [4, 5, 30])
def test_end_of_one_recording_is_held_out_where_every_speaker_has_only_one(count: int) -> None:
    splits = split(of_speakers(count, clips=30))

    assert held_out(splits) == {str(count - 1)}
    chosen = splits[str(count - 1)]
    assert chosen == ("train",) * chosen.count("train") + ("val",) * chosen.count("val")
    assert chosen.count("train") >= 15


def test_end_that_is_held_out_among_single_recordings_stays_there() -> None:
    before = split(of_speakers(4, clips=30))

    assert held_out(split(of_speakers(6, clips=30), as_previous(before))) == held_out(before) == {"3"}


def test_end_is_held_out_where_the_share_makes_no_whole_file() -> None:
    splits = assign_splits(files(5), {}, HeldOutSettings(share=0.05, min_files=0))

    assert [Counter(splits[key]) for key in held_out(splits)] == [{"train": 2, "val": 1}]


def test_nothing_is_held_out_of_single_clips_of_single_recordings() -> None:
    assert not held_out(split(of_speakers(5, clips=1)))


def clip(number: int, split: Split) -> Clip:
    """A clip of ten seconds; two make a recording."""
    source = f"{number // 2}.wav"
    return Clip(
        id=str(number), source=source, start_seconds=0.0, duration_seconds=10.0, num_frames=1000,
        frame_offset=1000 * number, speaker=source, split=split, checksum=source,
    )  # fmt: skip


def test_note_says_whose_end_is_held_out_and_why() -> None:
    settings = HeldOutSettings(share=0.05, min_files=2)
    clips = [clip(0, "train"), clip(1, "val")]
    others = [clip(number, "train") for number in range(2, 8)]

    assert split_notes(clips, settings) == ["fewer than 4 recordings: the last 10.0 s of 0.wav are held out"]
    assert split_notes([*clips, *others], settings) == [
        "no recording can be held out whole: the last 10.0 s of 0.wav are held out"
    ]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            HeldOutSettings(share=0.05, min_files=2),
            "nothing can be held out, .* train.py needs .*; add longer recordings",
        ),
        (
            HeldOutSettings(share=0, min_files=0),
            r"held_out_share=0 .* train\.py needs .*; .*preprocess\.held_out_share=0\.05$",
        ),
    ],
)
def test_note_says_what_to_do_before_a_training_where_nothing_is_held_out(
    settings: HeldOutSettings, words: str
) -> None:
    (note,) = split_notes([clip(0, "train"), clip(1, "train")], settings)

    assert re.search(words, note)
