"""What fuzzing consists of: wrong inputs, each read in a process of its own, and what came of them."""

import importlib
import json
import os
import select
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from utils.errors import WorkbenchError

HANDLED, SILENT, TRACEBACK, CRASH = "handled", "silent", "traceback", "crash"
OUTCOMES = (HANDLED, SILENT, TRACEBACK, CRASH)
SECONDS = 60.0  # that one input may take
MOST_BYTES = 24 * 2**30  # of address space; torch alone reserves several
SHOWN = 300  # characters of what is wrong


@dataclass(frozen=True)
class Trial:
    """One wrong input.

    Attributes:
        name: what it is, enough to make it again with the seed.
        read: does with it what a script does. A WorkbenchError of few lines is right; returning is right as well if the
            input turns out to be good, or what came of it is what came of the good one. False says that something else
            came of it, without a word.
    """

    name: str
    read: Callable[[], bool | None]


@dataclass
class Count:
    """What came of the trials of one kind, and of which the outcome was not right."""

    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    @property
    def row(self) -> list[int]:
        """Tried, then each outcome."""
        return [sum(self.outcomes.values()), *(self.outcomes[name] for name in OUTCOMES)]


def fuzz(trials: Iterator[Trial], until: float, most: int | None = None) -> Count:
    """Try wrong inputs until a moment of time.monotonic(), or so many."""
    count = Count()
    while time.monotonic() < until and (most is None or count.outcomes.total() < most):
        trial = next(trials, None)
        if trial is None:
            break
        outcome, text = try_alone(trial.read)
        count.outcomes[outcome] += 1
        if outcome != HANDLED:
            count.wrong.append(f"{outcome}: {trial.name}: {text[:SHOWN]}")
    return count


def try_alone(read: Callable[[], bool | None], seconds: float = SECONDS) -> tuple[str, str]:
    """Read an input in a process of its own, which may die, hang or eat memory; returns outcome and what is wrong."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if process == 0:
        os.close(reader)
        _answer(read, writer)
    os.close(writer)
    answer = _receive(reader, time.monotonic() + seconds)
    if answer is None:
        os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    if answer is None:
        return CRASH, f"not done after {seconds:g} s"
    if not answer:
        code = os.waitstatus_to_exitcode(status)
        return CRASH, signal.Signals(-code).name if code < 0 else f"exit code {code}"
    outcome, text = json.loads(answer)
    return str(outcome), str(text)


def _answer(read: Callable[[], bool | None], writer: int) -> None:
    """Be the process of one input; never returns."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    resource = importlib.import_module("resource")  # Windows has none, as it has no fork
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.write(writer, json.dumps(outcome_of(read)).encode())
    os._exit(0)


def outcome_of(read: Callable[[], bool | None]) -> tuple[str, str]:
    """Read an input in this process."""
    try:
        is_right = read()
    except WorkbenchError as error:
        text = str(error)
        return (HANDLED, "") if text.strip() and text.count("\n") <= 1 else (TRACEBACK, f"many lines: {text}")
    except BaseException as error:  # noqa: BLE001  whatever comes is what is looked for
        place = traceback.extract_tb(error.__traceback__)[-1]
        return TRACEBACK, f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}: {error}"
    return (SILENT, "taken as if nothing was wrong") if is_right is False else (HANDLED, "")


def _receive(reader: int, until: float) -> bytes | None:
    """Return all that comes through a pipe; None if it is not closed in time."""
    parts: list[bytes] = []
    with os.fdopen(reader, "rb", buffering=0) as stream:
        while True:
            ready, _, _ = select.select([stream], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                return None
            part = stream.read(1 << 16)
            if not part:
                return b"".join(parts)
            parts.append(part)
