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

from utils.corpus.failures import MEMORY, ending, killed_by_machine, machine_failure
from utils.corpus.stored_array import DamagedFileError
from utils.errors import DataError, WorkbenchError

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
        Raises:
            DataError: if the machine failed (see failures), so that no task is to blame.
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
    """Call the function; an error becomes its message, for the report of the run.

    Raises:
        DataError: if the machine failed and not the task, which then has nothing to report.
        DamagedFileError: if a result of before is damaged, for which no task is to blame.
    """
    try:
        return function(task), None
    except DamagedFileError:
        raise
    except Exception as error:  # a worker's boundary: reported with the file, the others go on
        failure = machine_failure(error, str(task))
        if failure is not None:
            raise DataError(failure) from error
        if isinstance(error, WorkbenchError):
            return None, str(error)
        log.warning("task failed", exc_info=True)
        return None, f"{type(error).__name__}: {error}"


def _run_alone(function: Callable[[Task], Value], tasks: list[Task]) -> Iterator[Outcome[Task, Value]]:
    """Yield the outcome of each task; a crash is that of the task before it.

    Raises:
        DataError: if the machine ended the process or none can be started.
    """
    alone: _LoneWorker | None = None
    try:
        for task in tasks:
            alone = alone or _LoneWorker()
            try:
                outcome = Outcome(task, *alone.executor.submit(guarded, function, task).result())
            except BrokenProcessPool as error:
                exit_code = alone.end()
                alone = None
                failure = killed_by_machine(exit_code, str(task))
                if failure is not None:
                    raise DataError(failure) from error
                outcome = Outcome(task, None, f"the worker process died on it, even alone ({ending(exit_code)})")
            yield outcome
    finally:
        if alone is not None:
            alone.end()


class _LoneWorker:
    """A pool of one process, whose exit code can be read.

    Raises:
        DataError: if it ends before it has a task.
    """

    def __init__(self) -> None:
        self.executor = _new_executor(1)
        try:
            number = self.executor.submit(os.getpid).result()
        except BrokenProcessPool as error:
            raise DataError(f"worker processes end before they have anything to do; {MEMORY}") from error
        self._process = next(child for child in multiprocessing.active_children() if child.pid == number)

    def end(self) -> int | None:
        """Wait until it has ended; returns its exit code, see killed_by_machine."""
        self.executor.shutdown()
        return self._process.exitcode


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
