"""Which state best.ckpt holds: the latest whose criterion is as low as any, but for its noise."""

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from utils.training.callbacks import checkpointing
from utils.training.callbacks.checkpointing import BestAndLastCheckpoint
from utils.training.callbacks.history import HistoryRecorder
from utils.training.summary import best_held_out, summarize


class FakeTrainer:
    """Saves the number of the step."""

    def __init__(self) -> None:
        self.callback_metrics = {"val/mel": 0.0}
        self.is_global_zero = True
        self.sanity_checking = False
        self.step = 0

    def save_checkpoint(self, path: Path) -> None:
        path.write_text(str(self.step), encoding="utf-8")


@pytest.fixture(autouse=True)
def any_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpointing, "_module", lambda module: module)


def run_through(folder: Path, values: list[float], *, best_from_step: int = 0, resume_after: int | None = None) -> int:
    """Validate at steps 1, 2, ..; return the step that best.ckpt holds."""
    callback = BestAndLastCheckpoint(folder, save_every=100, best_from_step=best_from_step)
    trainer = FakeTrainer()
    for step, value in enumerate(values, start=1):
        if resume_after == step - 1:
            state = json.loads(json.dumps(callback.state_dict()))
            callback = BestAndLastCheckpoint(folder, save_every=100, best_from_step=best_from_step)
            callback.load_state_dict(state)
        trainer.step, trainer.callback_metrics["val/mel"] = step, value
        callback.on_validation_end(cast(Any, trainer), cast(Any, SimpleNamespace(steps=step)))
    return int((folder / "best.ckpt").read_text(encoding="utf-8"))


def written_report(run: Path, values: list[float], *, best_from_step: int = 0) -> dict[str, Any]:
    """Report a run that was validated at steps 1, 2, ..; return its metrics.json."""
    history = HistoryRecorder()
    history.rows = [{"step": step, "val/mel": value} for step, value in enumerate(values, start=1)]
    summarize(
        run, history, cast(Any, SimpleNamespace(steps=len(values), skipped=0)), 1.0, best_from_step=best_from_step
    )
    written: dict[str, Any] = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    return written


@pytest.mark.parametrize(
    ("values", "best_from_step", "kept"),
    [
        ([0.6, 0.5, 0.55], 0, 2),
        ([0.6, 0.5, 0.5004], 0, 3),  # within the noise: the later
        ([0.6, 0.5, 0.5006], 0, 2),
        ([0.6, 0.5, 0.5004, 0.5008], 0, 3),  # not step by step away from the lowest
        ([0.6, 0.5004, 0.5, 0.5008], 0, 3),
        ([0.6, math.nan, 0.7], 0, 1),
        ([math.nan, 0.6, 0.7], 0, 2),
        ([math.inf, math.nan, 0.6], 0, 3),
        ([0.4, 0.5, 0.55, 0.5004], 2, 4),  # from the second on
        ([0.4, 0.5, 0.55, 0.5006], 2, 2),
        ([0.4, math.nan, 0.7, 0.6], 2, 4),
        ([0.4, math.nan], 2, 1),
    ],
)
@pytest.mark.parametrize("resume_after", [None, 1])
def test_the_latest_that_is_as_low_as_any_is_kept_and_reported(
    values: list[float], best_from_step: int, kept: int, resume_after: int | None, tmp_path: Path
) -> None:
    assert run_through(tmp_path, values, best_from_step=best_from_step, resume_after=resume_after) == kept

    reported = written_report(tmp_path, values, best_from_step=best_from_step)
    assert reported["best"]["step"] == kept
    shown = [value if math.isfinite(value) else None for value in values]
    assert [row["val/mel"] for row in reported["history"]] == shown
    assert reported["last"]["val/mel"] == shown[-1]
    assert best_held_out(tmp_path) == values[kept - 1]


def test_state_without_a_figure_that_an_older_version_took_for_the_best_is_beaten(tmp_path: Path) -> None:
    callback, trainer = BestAndLastCheckpoint(tmp_path, save_every=100, best_from_step=1), FakeTrainer()
    callback.load_state_dict({"best_value": math.nan, "best_step": 1})

    trainer.step, trainer.callback_metrics["val/mel"] = 2, 0.7
    callback.on_validation_end(cast(Any, trainer), cast(Any, SimpleNamespace(steps=2)))

    assert (tmp_path / "best.ckpt").read_text(encoding="utf-8") == "2"


@pytest.mark.parametrize("values", [[], [math.nan]])
def test_run_without_a_figure_is_reported(
    values: list[float], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reported = written_report(tmp_path, values)

    assert reported["best"] is None
    assert (reported["last"] is None) == (not values)
    assert best_held_out(tmp_path) is None
    assert ("no held-out figure yet" in capsys.readouterr().out) == (not values)


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_resumed_run_keeps_the_same(after: int, tmp_path: Path) -> None:
    assert run_through(tmp_path, [0.6, 0.5, 0.5004, 0.5008], resume_after=after) == 3


def test_state_lies_in_a_checkpoint_under_the_name_that_earlier_versions_gave_it(tmp_path: Path) -> None:
    assert BestAndLastCheckpoint(tmp_path, save_every=1).state_key == "RunKeeper"
