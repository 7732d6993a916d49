"""Worker processes: nothing that a task does stops the others."""

import errno
import os
import signal
import time
from pathlib import Path

import pytest
import torch

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
    if task == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if task.startswith("segfault once there is "):
        while not Path(task.removeprefix("segfault once there is ")).exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGSEGV)
    if task == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if task.startswith("/") and not Path(task).exists():
        Path(task).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if task == "full disk":
        Path("/dev/full").write_bytes(b"data")
    if task == "no memory":
        bytearray(1 << 62)
    if task == "no memory for torch":
        torch.empty(1 << 60, dtype=torch.uint8)
    if task == "no memory below":
        try:
            bytearray(1 << 62)
        except MemoryError as error:
            raise DataError("the network cannot be opened") from error
    if task in errno.errorcode.values():
        raise OSError(getattr(errno, task), os.strerror(getattr(errno, task)), "/some/file")
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


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("full disk", "full disk: No space left on device; free some space there or in the folder for temporary files"),
        ("EDQUOT", "EDQUOT: /some/file: Disk quota exceeded; free some space"),
        ("EIO", "EIO: /some/file: Input/output error; check the disk"),
        ("EMFILE", r"EMFILE: /some/file: Too many open files; raise the limit \(ulimit -n\)"),
        ("no memory", "no memory: out of memory; free some memory or set a lower preprocess.num_workers"),
        ("no memory for torch", "no memory for torch: out of memory"),
        ("no memory below", "no memory below: out of memory"),
    ],
)
def test_failure_of_the_machine_ends_the_run(task: str, words: str) -> None:
    with pytest.raises(DataError, match=f"^{words}") as caught:
        outcomes(0, ["a", task, "b"])

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("task", ["ENOENT", "EACCES"])
def test_other_errors_of_a_file_stay_with_their_task(task: str) -> None:
    done = outcomes(0, [task, "b"])

    assert "/some/file" in str(done[task][1])
    assert done["b"] == ("B", None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "words"), [("full disk", "No space left"), ("kill", "ended by SIGKILL, as the system does when memory")]
)
def test_failure_of_the_machine_in_a_worker_ends_the_run(task: str, words: str) -> None:
    with pytest.raises(DataError, match=f"^{task}: .*{words}"):
        outcomes(2, ["a", "b", task, "c"])


@pytest.mark.slow
def test_task_whose_worker_was_killed_beside_others_is_done_alone(tmp_path: Path) -> None:
    task = str(tmp_path / "was killed")

    crash = f"segfault once there is {task}"  # or it may be tried alone before it was killed

    done = outcomes(2, ["a", task, crash])

    assert done[task] == (task.upper(), None)
    assert done["a"] == ("A", None)
    assert done[crash][1] == "the worker process died on it, even alone (SIGSEGV)"
