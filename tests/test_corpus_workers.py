"""Worker processes: nothing that a task does stops the others."""

import os

import pytest

from utils.corpus.workers import WorkerPool
from utils.errors import DataError


def act(task: str) -> str:
    """What a test task does, in a worker process."""
    if task == "refuse":
        raise DataError("no good")
    if task == "stumble":
        raise IndexError("oops")
    if task == "crash":
        os._exit(11)
    return task.upper()


def outcomes(num_workers: int, tasks: list[str]) -> dict[str, tuple[str | None, str | None]]:
    with WorkerPool(num_workers) as pool:
        return {item.task: (item.value, item.problem) for item in pool.run(act, tasks)}


def test_errors_become_the_problem_of_their_task() -> None:
    assert outcomes(0, ["a", "refuse", "stumble", "b"]) == {
        "a": ("A", None),
        "refuse": (None, "no good"),
        "stumble": (None, "IndexError: oops"),
        "b": ("B", None),
    }


@pytest.mark.slow
def test_crash_of_a_worker_costs_one_task() -> None:
    done = outcomes(2, ["a", "b", "crash", "c", "refuse", "d"])

    assert {task for task, (value, _) in done.items() if value == task.upper()} == {"a", "b", "c", "d"}
    assert done["refuse"] == (None, "no good")
    assert "worker process died" in str(done["crash"][1])
