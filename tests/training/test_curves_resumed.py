"""The curves of a run that was interrupted between two of their points are those of one that nobody disturbed."""

import shutil
import time
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.tools.resume_tools import figures
from tests.tools.training_tools import make_dataset, training
from utils.training.callbacks.checkpointing import BestAndLastCheckpoint
from utils.training.fit import train

STEPS = 8


class RunEndedError(Exception):
    """What ends a run in these tests."""


def interrupt_after(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    save = BestAndLastCheckpoint.save

    def deadly(self: BestAndLastCheckpoint, trainer: object, step: int) -> None:
        save(self, trainer, step)  # type: ignore[arg-type]
        if step == number:
            raise RunEndedError

    monkeypatch.setattr(BestAndLastCheckpoint, "save", deadly)


def losses(run: Path) -> list[int]:
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    return [item.step for item in events.Scalars("train/generator/total")]


def await_next_second() -> None:
    """The names of event files hold the second, then a count: within one second the tenth sorts before the ninth."""
    second = int(time.time())
    while int(time.time()) == second:
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize(("log_every", "accumulate"), [(2, 1), (3, 2)])
def test_points_of_the_curves_stand_at_the_same_steps_after_a_resume(
    log_every: int, accumulate: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = make_dataset(tmp_path)
    rounds = ["trainer.save_every=1", "trainer.validate_every=4", f"optim.accumulate={accumulate}"]
    settings = [f"trainer.log_every={log_every}", *rounds]
    whole = train(training(datasets, tmp_path, "whole", STEPS, *settings))

    for number in (1, 2, 5):
        with monkeypatch.context() as patched, pytest.raises(RunEndedError):
            interrupt_after(number, patched)
            train(training(datasets, tmp_path, "cut", STEPS, *settings))
        await_next_second()
        resumed = train(training(datasets, tmp_path, "cut", STEPS, "resume=last", *settings))

        assert figures(resumed) == figures(whole), f"interrupted after {number}"
        assert losses(resumed) == losses(whole), f"interrupted after {number}"
        shutil.rmtree(resumed)
