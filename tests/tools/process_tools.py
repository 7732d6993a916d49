"""Trainings in processes of their own: to be killed, or to train together."""

import multiprocessing
import os
import socket
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Any

from pytorch_lightning.utilities.rank_zero import rank_zero_only

# spares the seconds that imports take; where there is no fork, tests/conftest.py leaves those out that need it
FORK = multiprocessing.get_context("fork" if hasattr(os, "fork") else None)


def run_alone(work: Callable[[], Any], *, seconds: float = 120) -> int:
    """Do something in another process and return its exit code; negative for a signal."""
    return run_together([work], seconds=seconds)[0]


def run_together(works: list[Callable[[], Any]], *, seconds: float = 120) -> list[int]:
    """Do things in processes that torchrun could have started, and return their exit codes.

    Raises:
        TimeoutError: if one of them has not ended in time; all are killed.
    """
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    processes = [FORK.Process(target=_as_rank, args=(work, rank, len(works), port)) for rank, work in enumerate(works)]
    for process in processes:
        process.start()
    return [_exit_code(process, processes, seconds) for process in processes]


def _as_rank(work: Callable[[], Any], rank: int, count: int, port: int) -> None:
    if count > 1:
        os.environ |= {
            "TORCHELASTIC_RUN_ID": "test", "RANK": str(rank), "LOCAL_RANK": str(rank), "GROUP_RANK": "0",
            "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        }  # fmt: skip
        rank_zero_only.rank = rank  # type: ignore[attr-defined]
    work()


def _exit_code(process: BaseProcess, processes: list[Any], seconds: float) -> int:
    deadline = time.monotonic() + seconds
    while process.exitcode is None:  # join would also wait for processes that this one has started and left behind
        if time.monotonic() > deadline:
            for other in processes:
                other.kill()
            raise TimeoutError(f"a process has not ended within {seconds} s")
        time.sleep(0.01)
    return process.exitcode
