"""Which recordings are held out."""

from collections import Counter

import numpy as np
import pytest

from utils.corpus.split import Before, Split, SplitFile, assign_splits


def files(count: int, *, speaker: str = "a", start: int = 0, clips: int = 3, frames: int = 300) -> list[SplitFile]:
    return [SplitFile(f"{speaker}{index:04d}", speaker, (frames,) * clips) for index in range(start, start + count)]


def split(items: list[SplitFile], previous: dict[str, Before] | None = None) -> dict[str, tuple[Split, ...]]:
    return assign_splits(items, previous or {}, share=0.05, min_files=2)


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
    splits = assign_splits(files(20), {}, share=0.0, min_files=0)

    assert not held_out(splits)
