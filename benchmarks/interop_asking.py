"""What benchmarks.interop and its parts have in common: the programs, a process of one of them, and the difference."""

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from utils.errors import WorkbenchError

RVC_PROGRAMS = {
    "applio": "Applio", "rvc_webui": "RVC-WebUI", "rvc_next": "rvc-next", "wokada": "w-okada's voice changer",
    "deiteris": "deiteris' voice changer",
}  # fmt: skip
PROGRAMS = RVC_PROGRAMS | {"sovits": "So-VITS-SVC"}


def ask(program: str, folder: Path, tasks: Sequence[dict[str, Any]], work: Path) -> list[dict[str, Any]]:
    """Let a program do tasks in a process of its own; return what it said of each.

    Args:
        program: of PROGRAMS.
        folder: of the program.
        tasks: what its loader is told; "out" is a folder that is made.
        work: for files.
    Raises:
        WorkbenchError: if the program cannot be run.
    """
    for task in tasks:
        Path(task["out"]).mkdir(parents=True)
    order = work / program / "tasks.json"
    order.parent.mkdir(parents=True, exist_ok=True)
    order.write_text(json.dumps(list(tasks)), encoding="utf-8")
    worker = Path(__file__).with_name("interop_worker.py")
    done = subprocess.run(
        [sys.executable, str(worker), program, str(folder.resolve()), str(order)], capture_output=True, text=True
    )
    facts = [Path(task["out"]) / "facts.json" for task in tasks]
    if not all(path.is_file() for path in facts):
        reason = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise WorkbenchError(f"{PROGRAMS[program]} in {folder} could not be run: {reason}")
    return [json.loads(path.read_text("utf-8")) for path in facts]


def difference_db(one: np.ndarray, other: np.ndarray) -> float:
    """Return the RMS of the difference over that of the first, in dB; infinite for other lengths."""
    if one.shape != other.shape:
        return math.inf
    power = float(np.mean(np.square(one, dtype=np.float64)))
    change = float(np.mean(np.square(one.astype(np.float64) - other)))
    return 10 * math.log10(max(change, 1e-30) / max(power, 1e-30))
