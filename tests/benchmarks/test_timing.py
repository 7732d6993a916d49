"""Pieces of work that take turns are timed alike."""

from benchmarks.timing import take_turns


def test_each_is_done_once_a_round_in_turn_and_the_warm_up_is_not_timed() -> None:
    done: list[str] = []

    seconds = take_turns({name: lambda name=name: done.append(name) for name in "ab"}, 3, warm_up=2)  # type: ignore[misc]

    assert done == ["a", "b"] * 5
    assert {name: len(each) for name, each in seconds.items()} == {"a": 3, "b": 3}
    assert all(value >= 0 for each in seconds.values() for value in each)
