"""Run tasks in worker processes that survive bad input: an error or even a crash costs one task, not the run."""

import logging
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Generic, NamedTuple, TypeVar

from utils.errors import WorkbenchError

Task = TypeVar("Task")
Value = TypeVar("Value")
TASKS_AHEAD = 2  # per worker: enough to keep it busy, few enough to suspect after a crash
log = logging.getLogger(__name__)


class Outcome(NamedTuple, Generic[Task, Value]):
    """What became of a task: its value, or the problem in words."""

    task: Task
    value: Value | None
    problem: str | None


class WorkerPool:
    """A pool of spawned processes with one torch thread each.

    Args:
        num_workers: processes; 0 runs the tasks in this process.
    """

    def __init__(self, num_workers: int) -> None:
        self.num_workers = num_workers
        self._executor: ProcessPoolExecutor | None = None

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)

    def run(self, function: Callable[[Task], Value], tasks: Iterable[Task]) -> Iterator[Outcome[Task, Value]]:
        """Yield the outcome of each task as it is done, in no particular order.

        Args:
            function: a module-level function; it and the tasks are pickled.
            tasks: its arguments.
        """
        if self.num_workers == 0:
            for task in tasks:
                yield Outcome(task, *guarded(function, task))
            return
        waiting = deque(tasks)
        running: dict[Future[tuple[Value | None, str | None]], Task] = {}
        while waiting or running:
            suspects = self._submit(function, waiting, running)
            done = wait(running, return_when=FIRST_COMPLETED).done if running else set()
            for future in done:
                task = running.pop(future)
                try:
                    yield Outcome(task, *future.result())
                except BrokenProcessPool:
                    suspects.append(task)
            if suspects:
                # nobody knows which of the running tasks killed its worker: each gets a process of its own
                suspects += running.values()
                running.clear()
                self._executor = None
                log.warning("a worker process died; its %d tasks are tried one by one", len(suspects))
                yield from _run_alone(function, suspects)

    def _submit(
        self,
        function: Callable[[Task], Value],
        waiting: deque[Task],
        running: dict[Future[tuple[Value | None, str | None]], Task],
    ) -> list[Task]:
        """Keep the workers supplied; returns the task at which the pool turned out to be broken, if any."""
        while waiting and len(running) < TASKS_AHEAD * self.num_workers:
            task = waiting.popleft()
            if self._executor is None:
                self._executor = _new_executor(self.num_workers)
            try:
                running[self._executor.submit(guarded, function, task)] = task
            except BrokenProcessPool:
                return [task]
        return []


def guarded(function: Callable[[Task], Value], task: Task) -> tuple[Value | None, str | None]:
    """Call the function; an error becomes its message, for the report of the run."""
    try:
        return function(task), None
    except WorkbenchError as error:
        return None, str(error)
    except Exception as error:  # a worker's boundary: reported with the file, the others go on
        log.warning("task failed", exc_info=True)
        return None, f"{type(error).__name__}: {error}"


def _run_alone(function: Callable[[Task], Value], tasks: list[Task]) -> Iterator[Outcome[Task, Value]]:
    executor = _new_executor(1)
    for task in tasks:
        try:
            yield Outcome(task, *executor.submit(guarded, function, task).result())
        except BrokenProcessPool:
            yield Outcome(task, None, "the worker process died on it (out of memory, or a crash in a decoder)")
            executor = _new_executor(1)
    executor.shutdown()


def _new_executor(num_workers: int) -> ProcessPoolExecutor:
    # spawn: a forked child of a process with torch threads can hang
    return ProcessPoolExecutor(num_workers, multiprocessing.get_context("spawn"), initializer=_start_worker)


def _start_worker() -> None:
    import torch

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the parent ends the workers
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A killed parent leaves its spawned workers waiting for ever: end with it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def available_workers() -> int:
    """Return the number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
