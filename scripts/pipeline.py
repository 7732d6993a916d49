"""Run the real scripts one after another, as a person would, and remember what is done."""

import importlib.util
import json
import logging
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.errors import ConfigError, WorkbenchError
from utils.files import atomic_write_json, sha256_of_file

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = ("models/weights", "utils/features/weights")
MARKER = ".made_by_a_benchmark"  # in folders that a benchmark may empty
PITCH_PACKAGE = "swift_f0"  # carries the weights of pitch=builtin
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

    A stage runs again when its command or the shipped weights changed, an output is missing or an earlier stage ran
    again.

    Args:
        state_file: remembers finished stages between runs.
        work: folder in which the scripts run; datasets/, runs/ and exports/ appear there.
    """

    def __init__(self, state_file: Path, work: Path = ROOT) -> None:
        self._state_file = state_file
        self._work = work
        self._state: dict[str, Any] = _read_json(state_file) or {}
        self._is_stale = False
        self._weights = shipped_weights()
        self.stages: list[Stage] = []

    def add(self, stage: Stage) -> None:
        """Note a step that is no script; when it was done anew, everything after it runs again."""
        self._is_stale = self._is_stale or not stage.reused
        self.stages.append(stage)

    def run(
        self, name: str, command: Sequence[str], outputs: Sequence[Path], *, run_folder: Path | None = None
    ) -> None:
        """Run one script of the checkout unless its outputs are there.

        Args:
            name: key and label of the stage.
            command: script and arguments, for example ["train.py", "dataset.name=..."].
            outputs: what must exist afterwards, absolute or inside the work folder.
            run_folder: of a training; an interrupted one of the same command is continued, any other is replaced.
        Raises:
            WorkbenchError: if the script fails, an output is missing or the run's folder is somebody else's.
        """
        record = self._state.get(name, {})
        is_same_command = record.get("command") == list(command)
        is_same = not self._is_stale and is_same_command and record.get("weights") == self._weights
        if is_same and record.get("seconds") is not None and not self._missing(outputs):
            self.stages.append(Stage(name, float(record["seconds"]), True))
            log.info("%s: reusing what is there (%s)", name, ", ".join(str(path) for path in outputs))
            return
        if is_same_command and not self._is_stale and not is_same:
            log.info("%s: runs again, what is there was made with other weights of encoder, pitch or base", name)
        self._is_stale = True
        extra = self._prepare_run(self._work / run_folder, is_same, is_ours=bool(record)) if run_folder else []
        if record and source_of(command) != source_of(record["command"]):
            for path in outputs:  # preprocess.py does not replace a dataset by one of other recordings
                shutil.rmtree((self._work / path).parent, ignore_errors=True)
        self._remember(name, command, None)
        log.info("%s: %s", name, as_typed([*command, *extra]))
        seconds = run_script([*command, *extra], self._work)
        missing = self._missing(outputs)
        if missing:
            raise WorkbenchError(f"{name} ended without an error but did not make {', '.join(missing)}")
        self._remember(name, command, round(seconds, 1))
        self.stages.append(Stage(name, seconds, False))

    def _missing(self, outputs: Sequence[Path]) -> list[str]:
        return [str(path) for path in outputs if not (self._work / path).exists()]

    def _remember(self, name: str, command: Sequence[str], seconds: float | None) -> None:
        self._state[name] = {"command": list(command), "weights": self._weights, "seconds": seconds}
        atomic_write_json(self._state_file, self._state)

    @staticmethod
    def _prepare_run(folder: Path, is_same: bool, *, is_ours: bool) -> list[str]:
        """Return what to add to the command so that train.py continues; else make room for a new run."""
        if is_same and (folder / "checkpoints" / "last.ckpt").is_file() and not (folder / "metrics.json").is_file():
            return ["resume=last"]
        empty_folder(folder, is_ours=is_ours)
        return []


def source_of(command: Sequence[str]) -> str | None:
    """Return the recordings that a command makes a dataset of; None if it makes none."""
    return next((word for word in command if word.startswith("dataset.source=")), None)


def empty_folder(folder: Path, *, is_ours: bool = False) -> Path:
    """Make an empty folder for results, instead of one that a benchmark made before; return it.

    Args:
        folder: to make.
        is_ours: whether something else tells that a benchmark made it.
    Raises:
        ConfigError: if files of somebody else are there.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise ConfigError(f"{folder} is to be a folder for results; move away what is there, or give another --work")
    if folder.is_dir():
        if any(folder.iterdir()) and not is_ours and not (folder / MARKER).is_file():
            raise ConfigError(
                f"{folder} was not made by this command, so it is left alone; move it, or give another --work"
            )
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / MARKER).touch()
    return folder


def shipped_weights() -> dict[str, str]:
    """Return the SHA-256 of every file of weights that a stage may read, by its path in the checkout or its package."""
    files = {
        str(path.relative_to(ROOT)): path
        for folder in WEIGHTS
        for path in sorted((ROOT / folder).glob("*.safetensors"))
    }
    package = importlib.util.find_spec(PITCH_PACKAGE)
    for installed in (package.submodule_search_locations or []) if package else []:
        files.update({f"{PITCH_PACKAGE}/{path.name}": path for path in sorted(Path(installed).glob("*.onnx"))})
    return {name: sha256_of_file(path) for name, path in files.items()}


def run_script(command: Sequence[str], work: Path = ROOT) -> float:
    """Run a script or module of the checkout in a process of its own, its output shown.

    Args:
        command: ["train.py", ...] or ["-m", "package.module", ...].
        work: folder in which it runs; relative paths in the command start there.
    Returns:
        Seconds it took.
    Raises:
        WorkbenchError: if it ends with another code than 0.
    """
    start = time.perf_counter()
    first, *rest = command
    program = [first] if first.startswith("-") else [str(ROOT / first)]
    search = os.pathsep.join(path for path in (str(ROOT), os.environ.get("PYTHONPATH", "")) if path)
    environment = {**os.environ, "PYTHONPATH": search}
    result = subprocess.run([sys.executable, *program, *rest], cwd=work, env=environment, check=False)
    if result.returncode:
        raise WorkbenchError(f"'{as_typed(command)}' ended with code {result.returncode}; its message stands above")
    return time.perf_counter() - start


def as_typed(command: Sequence[str]) -> str:
    """Return a command as a person types it."""
    return shlex.join(["python", *command])


def real_time_factors(conversion: dict[str, Any]) -> dict[str, float]:
    """Return the real-time factors of a report of test_model.py, by a label that names the threads."""
    return {
        f"real-time factor, {row['num_threads']} thread{'s' if row['num_threads'] > 1 else ''}": row["real_time_factor"]
        for row in conversion["speed"]
    }


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
