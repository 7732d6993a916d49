"""How far a command of the scripts is, from what it writes anyway: its log and, of a training, metrics.csv."""

import csv
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

METRICS = "metrics.csv"
TAIL_BYTES = 4096
STEP = re.compile(r"step (\d+)/(\d+)\b(.*)")  # utils.training.callbacks.progress
LEFT = re.compile(r"(\S+(?: d \S+)?) left")
BAR = re.compile(
    r"(?P<label>[^|]*):\s+\d+% \|.*\| (?P<done>\d+)/(?P<total>\d+) (?P<unit>\S+) \[[^<]*< (?P<left>[^\]]*)\]"
)


@dataclass(frozen=True)
class Progress:
    """How far a command is.

    Attributes:
        done, total: in `unit`, such as steps of a training or files.
        left: the time that it will still take, in its own words (0:50, 1:02:03); empty where it does not say.
        label: what it is doing.
    """

    done: int
    total: int
    unit: str
    left: str = ""
    label: str = ""

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return min(1.0, self.done / self.total) if self.total else 0.0


def progress_of(arguments: Sequence[str], log: str, work: Path, started: float) -> Progress | None:
    """Return what the last line of a log that tells it says; of a training, not less than metrics.csv has.

    Args:
        arguments: the script and its arguments.
        log: its end.
        work: working folder of the command.
        started: when it began, in seconds since 1970; files from before are of another run.
    """
    found = next((item for line in reversed(log.splitlines()) if (item := _from_line(line)) is not None), None)
    if found is None or found.unit != "steps":
        return found
    return Progress(
        max(found.done, _last_step(arguments, work, started)), found.total, "steps", found.left, found.label
    )


def values_of(arguments: Sequence[str]) -> dict[str, str]:
    """Return the values of arguments of the form key=value; of a key that is given twice the last one."""
    pairs = (argument.partition("=") for argument in arguments[1:])
    return {key.strip().lstrip("+"): value for key, sign, value in pairs if sign}


def _from_line(line: str) -> Progress | None:
    step = STEP.search(line)
    if step is not None:
        left = LEFT.search(step[3])
        return Progress(int(step[1]), int(step[2]), "steps", left[1] if left else "", "training")
    bar = BAR.search(line)
    if bar is None:
        return None
    return Progress(int(bar["done"]), int(bar["total"]), bar["unit"], bar["left"].strip(), bar["label"].strip())


def _last_step(arguments: Sequence[str], work: Path, started: float) -> int:
    """Return the step of the last row of the run's figures; 0 where there is none yet, or the run was given no name."""
    values = values_of(arguments)
    name = values.get("run.name")
    if not name:
        return 0
    path = work / values.get("run.root", "runs") / name / METRICS
    with suppress(OSError, ValueError, IndexError):
        status = path.stat()
        if status.st_mtime < started:
            return 0
        with path.open("rb") as stream:
            stream.seek(max(0, status.st_size - TAIL_BYTES))
            lines = stream.read(TAIL_BYTES).decode("utf-8").splitlines()
        return int(next(csv.reader([lines[-1]]))[0])
    return 0
