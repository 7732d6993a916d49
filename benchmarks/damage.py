"""Change single bytes of all kinds of files that the scripts read: is each change refused, or without effect?

    python -m benchmarks.damage [--count 2000] [--seed 0] [--json FILE]

Small good files are made once in --work: a dataset, the parts of a second one that was not finished, a run, its
exported voice, a shared voice of RVC. Then single bytes, chosen by the seed, are changed to others; each time the file
is read by the function that the scripts read it by, and what came of it is compared bit by bit with what comes of the
good file.

refused: one line. warned: taken, and a line says that it is not what was written (a graph, which has no checksum of its
own, by the card beside it; a card, from which nothing is computed). again: preprocess.py computes it again. equal: the
change had no effect (a blank in JSON). silent: something else came of it, without a word. traceback: an error that is
no line. crash: the process died or hung.

The exit code is 1 if a change was silent, or there was a traceback or a crash.
"""

import argparse
import hashlib
import logging
import multiprocessing
import random
import shutil
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.damage_kinds import Kind, make_kinds
from benchmarks.options import BenchmarkParser, work_folder, write_figures
from utils.command_line import run_program, whole_number
from utils.console import emit, table
from utils.errors import WorkbenchError

OUTCOMES = ("refused", "warned", "again", "equal", "silent", "traceback", "crash")
REFUSED, WARNED, AGAIN, EQUAL, SILENT, TRACEBACK, CRASH = OUTCOMES
WRONG = (SILENT, TRACEBACK, CRASH)
COUNT = 2000
SECONDS = 120.0  # without an answer
SHOWN = 8  # wrong outcomes of a kind


@dataclass(frozen=True)
class Change:
    """A byte of a file that becomes another one."""

    path: Path
    place: int
    value: int

    def apply(self) -> bytes:
        """Change the file; returns what it was."""
        good = self.path.read_bytes()
        changed = bytearray(good)
        changed[self.place] = self.value
        self.path.write_bytes(changed)
        return good


def changes(kind: Kind, count: int, drawn: random.Random) -> list[Change]:
    """Choose bytes of the files of a kind, each file alike, and another value for each."""
    found = []
    for number in range(count):
        path = kind.files[number % len(kind.files)]
        data = path.read_bytes()
        place = drawn.randrange(len(data))
        found.append(Change(path, place, (data[place] + drawn.randrange(1, 256)) % 256))
    return found


def digests_of(value: Any) -> dict[str, str | None]:
    """Return a hash of each part of what a reader gave, the same for the same bits; None of what is computed again."""
    parts = value if isinstance(value, dict) else {"": value}
    return {
        str(key): None if part is None else hashlib.sha256(repr(part).encode()).hexdigest()
        for key, part in parts.items()
    }


class Listener(logging.Handler):
    """Hears whether something was logged."""

    has_heard = False

    def emit(self, record: logging.LogRecord) -> None:
        """Note that something was."""
        self.has_heard = True


def outcome_of(read: Callable[[], Any], expected: dict[str, str | None]) -> tuple[str, str]:
    """Read a damaged file in this process; returns the outcome and what is wrong with it."""
    listener = Listener(logging.WARNING)
    logging.getLogger().handlers = [listener]
    try:
        found = digests_of(read())
    except WorkbenchError as error:
        text = str(error)
        return (REFUSED, text) if text.strip() and "\n" not in text else (TRACEBACK, f"not one line: {text}")
    except BaseException as error:  # noqa: BLE001  whatever comes is what is looked for
        return TRACEBACK, f"{type(error).__name__}: {error}"
    if found == expected:
        return EQUAL, ""
    is_again = found.keys() == expected.keys() and all(found[key] in (None, expected[key]) for key in found)
    return (AGAIN if is_again else WARNED if listener.has_heard else SILENT), ""


def try_all(kind: Kind, chosen: Sequence[Change]) -> list[tuple[str, str]]:
    """Read each damaged file in another process, which is started again where it dies; returns the outcomes."""
    outcomes: list[tuple[str, str]] = []
    context = multiprocessing.get_context("fork" if sys.platform != "win32" else None)
    while len(outcomes) < len(chosen):
        ours, theirs = context.Pipe(duplex=False)
        worker = context.Process(target=_read_each, args=(kind, chosen[len(outcomes) :], theirs))
        backups = {path: path.read_bytes() for path in kind.files}
        worker.start()
        theirs.close()
        try:
            while len(outcomes) < len(chosen):
                if not ours.poll(SECONDS):
                    raise EOFError
                outcomes.append(ours.recv())
        except EOFError:  # it died, or hangs
            outcomes.append((CRASH, str(chosen[len(outcomes)])))
        worker.kill()
        worker.join()
        for path, good in backups.items():
            path.write_bytes(good)
    return outcomes


def _read_each(kind: Kind, chosen: Sequence[Change], answers: Connection) -> None:
    expected = digests_of(kind.read())
    for change in chosen:
        good = change.apply()
        outcome, text = outcome_of(kind.read, expected)
        change.path.write_bytes(good)
        answers.send((outcome, f"{change.path.name} byte {change.place}: {text}"[:300]))


def report(options: argparse.Namespace) -> int:
    """Try all kinds and print the counts; returns the exit code."""
    warnings.simplefilter("ignore")
    work = work_folder(options)
    place = work / "damaged"
    shutil.rmtree(place, ignore_errors=True)
    kinds = [kind for kind in make_kinds(work, place) if not options.kinds or kind.name in options.kinds]
    counts: dict[str, Counter[str]] = {}
    wrong: list[str] = []
    for index, kind in enumerate(kinds):
        count = options.count * (index + 1) // len(kinds) - options.count * index // len(kinds)
        drawn = random.Random(f"{options.seed} {kind.name}")
        outcomes = try_all(kind, changes(kind, count, drawn))
        counts[kind.name] = Counter(outcome for outcome, _ in outcomes)
        told = [f"{kind.name}, {outcome}: {text}" for outcome, text in outcomes if outcome in WRONG]
        wrong += told[:SHOWN]
    total = sum(counts.values(), Counter[str]())
    rows = [
        [name, count.total(), *map(count.__getitem__, OUTCOMES)] for name, count in [*counts.items(), ("all", total)]
    ]
    emit(table(rows, ["file", "changed", *OUTCOMES]))
    for line in wrong:
        emit(line)
    write_figures(options, "damage", {"counts": {name: dict(count) for name, count in counts.items()}, "wrong": wrong})
    return 1 if any(total[outcome] for outcome in WRONG) else 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = BenchmarkParser("damage", __doc__)
    parser.add_argument("--count", type=whole_number, default=COUNT, help=f"of changes (default: {COUNT})")
    parser.add_argument("--seed", type=int, default=0, help="of the changes (default: 0)")
    parser.add_argument("--kinds", nargs="+", help="only these kinds of files (default: all)")
    parser.add_work()
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 1 if a change was not noticed."""
    options = parse(arguments)
    return run_program("damage", lambda: report(options))


if __name__ == "__main__":
    sys.exit(main())
