"""Run the real scripts one after another, as a person would, and remember what is done."""

import json
import logging
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.errors import WorkbenchError
from utils.files import atomic_write_json

ROOT = Path(__file__).resolve().parents[1]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stage:
    """One finished step.

    Attributes:
        name: what it is called in the table.
        seconds: how long it took when it ran.
        reused: its result was already there.
    """

    name: str
    seconds: float
    reused: bool


class Pipeline:
    """Runs scripts in order and skips those whose command and results are already there.

    A stage runs again when its command changed, an output is missing or an earlier stage ran again.

    Args:
        state_file: remembers finished stages between runs.
    """

    def __init__(self, state_file: Path) -> None:
        self._state_file = state_file
        self._state: dict[str, Any] = _read_json(state_file) or {}
        self._is_stale = False
        self.stages: list[Stage] = []

    def run(self, name: str, command: Sequence[str], outputs: Sequence[Path]) -> None:
        """Run one script of the checkout unless its outputs are there.

        Args:
            name: key and label of the stage.
            command: script and arguments, for example ["train.py", "dataset=..."].
            outputs: what must exist afterwards.
        Raises:
            WorkbenchError: if the script fails or an output is missing.
        """
        record = self._state.get(name)
        if (
            not self._is_stale
            and record
            and record["command"] == list(command)
            and all(path.exists() for path in outputs)
        ):
            self.stages.append(Stage(name, float(record["seconds"]), True))
            log.info("%s: reusing what is there (%s)", name, ", ".join(str(path) for path in outputs))
            return
        self._is_stale = True
        log.info("%s: python %s", name, " ".join(command))
        seconds = run_script(command)
        missing = [str(path) for path in outputs if not path.exists()]
        if missing:
            raise WorkbenchError(f"{name} ended without an error but did not make {', '.join(missing)}")
        self._state[name] = {"command": list(command), "seconds": round(seconds, 1)}
        atomic_write_json(self._state_file, self._state)
        self.stages.append(Stage(name, seconds, False))


def run_script(command: Sequence[str]) -> float:
    """Run one script of the checkout in a process of its own, its output shown; return the seconds it took.

    Raises:
        WorkbenchError: if it ends with another code than 0.
    """
    start = time.perf_counter()
    result = subprocess.run([sys.executable, *command], cwd=ROOT, check=False)
    if result.returncode:
        raise WorkbenchError(
            f"'python {' '.join(command)}' ended with code {result.returncode}; its message stands above"
        )
    return time.perf_counter() - start


def only_file(folder: Path, pattern: str) -> Path:
    """Return the one file of a folder that fits a pattern.

    Raises:
        WorkbenchError: if there is none or more than one.
    """
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise WorkbenchError(f"expected one {pattern} in {folder}, found {len(found)}")
    return found[0]


def _read_json(path: Path) -> Any:
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError:
        log.warning("%s is damaged; every stage runs again", path)
        return None
