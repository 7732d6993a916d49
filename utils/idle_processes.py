"""Processes of this project's own that wait for their next work: new interpreters, reused and ended with this one."""

import atexit
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, Protocol, TypeVar

ROOT = Path(__file__).resolve().parents[1]
# -P: no folder that the user happens to be in; nothing but this project and the installed packages is imported
PROGRAM = "import sys; sys.path.insert(0, {root!r}); from {module} import main; main()"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def interpreter_of(module: str) -> tuple[str, ...]:
    """Return the command that runs `main` of a module of this project in a new interpreter."""
    return sys.executable, "-P", "-c", PROGRAM.format(root=str(ROOT), module=module)


def one_thread() -> dict[str, str]:
    """Return this process's environment with one thread: a library for matrices reserves addresses for each."""
    return os.environ | dict.fromkeys(THREADS, "1")


class Reusable(Protocol):
    """A process that does one piece of work after the other."""

    @property
    def is_alive(self) -> bool:
        """Whether it can take orders."""
        ...

    def end(self) -> object:
        """End it, if it has not ended."""
        ...


SomeProcess = TypeVar("SomeProcess", bound=Reusable)


class IdleProcesses(Generic[SomeProcess]):
    """The processes of one kind that have nothing to do; each serves one borrower at a time.

    Args:
        start: starts one.
        most: so many wait; more are ended when they are given back.
    """

    def __init__(self, start: Callable[[], SomeProcess], most: int) -> None:
        self._start, self._most = start, most
        self._lock = threading.Lock()
        self._owner = os.getpid()
        self._idle: list[SomeProcess] = []
        atexit.register(self.end)

    def borrow(self) -> SomeProcess:
        """Return one that waits, or a new one."""
        with self._lock:
            if self._owner != os.getpid():  # a fork: they serve the process that it was forked of
                self._owner, self._idle = os.getpid(), []
            while self._idle:
                process = self._idle.pop()
                if process.is_alive:
                    return process
                process.end()
        return self._start()

    def give_back(self, process: SomeProcess) -> None:
        """Let others have it; one that has died is ended, one that a fork has from before is left to its owner."""
        with self._lock:
            if self._owner != os.getpid():
                return
            if process.is_alive and len(self._idle) < self._most:
                self._idle.append(process)
                return
        process.end()

    def end(self) -> None:
        """End those that wait."""
        with self._lock:
            waiting, self._idle = self._idle, []
        if self._owner == os.getpid():
            for process in waiting:
                process.end()
