"""How a run went: metrics.json and a table on the screen."""

import math
from pathlib import Path

from models.adversarial import AdversarialTraining
from utils.console import emit, pasted, table
from utils.files import atomic_write_json, read_json
from utils.training.callbacks.history import HistoryRecorder
from utils.training.criterion import CRITERION, is_best


def summarize(
    run: Path, history: HistoryRecorder, module: AdversarialTraining, seconds: float, *, best_from_step: int
) -> None:
    """Write metrics.json and print how the held-out loss went; the best is one from `best_from_step` on, if there is.

    What is not a number is null there, as is what does not exist: a resumed run may have nothing more to do.
    """
    rows = [row for row in history.rows if row["step"] > history.since]
    finite = [row for row in rows if math.isfinite(row[CRITERION])]
    counted = [row for row in finite if row["step"] >= best_from_step] or finite
    lowest = min((row[CRITERION] for row in counted), default=math.inf)
    best = [row for row in counted if is_best(row[CRITERION], lowest)]
    marked = {"first": rows[:1], "best": best[-1:], "last": rows[-1:]}
    summary = {
        "steps": module.steps,
        "skipped": module.skipped,
        "seconds": round(seconds, 1),
        **{label: _plain(found[0]) if found else None for label, found in marked.items()},
        "history": [_plain(row) for row in history.rows],
    }
    atomic_write_json(run / "metrics.json", summary)
    shown = [[label, int(row["step"]), row[CRITERION]] for label, found in marked.items() for row in found]
    emit(table(shown, ["held-out", "step", CRITERION]) if shown else "no held-out figure yet")
    emit(f"{module.steps} steps in {seconds:.0f} s; checkpoints in {run / 'checkpoints'}")
    if module.skipped:
        emit(f"{module.skipped} of the updates were skipped, as their gradients were not finite")
    emit(f"next: {pasted('python', 'export_onnx.py', f'run={run}')}")


def best_held_out(run: Path) -> float | None:
    """Return the criterion of a finished run's best.ckpt; None where there is none, or another process writes it."""
    path = run / "metrics.json"
    best = read_json(path)["best"] if path.is_file() else None
    return float(best[CRITERION]) if best is not None else None


def _plain(row: dict[str, float]) -> dict[str, float | None]:
    return {key: value if math.isfinite(value) else None for key, value in row.items()}
