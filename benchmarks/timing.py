"""Times of several pieces of work that take turns, so that a busy machine hits all alike."""

import time
from collections.abc import Callable, Mapping


def take_turns(works: Mapping[str, Callable[[], object]], rounds: int, *, warm_up: int = 1) -> dict[str, list[float]]:
    """Return the seconds of each piece of work in each round.

    Args:
        works: by name; each is done once a round.
        rounds: that are timed.
        warm_up: rounds before them, in which networks are compiled and memory is taken.
    """
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for index in range(warm_up + rounds):
        for name, work in works.items():
            started = time.perf_counter()
            work()
            if index >= warm_up:
                seconds[name].append(time.perf_counter() - started)
    return seconds
