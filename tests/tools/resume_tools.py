"""Runs that are killed or asked to end at a chosen moment, and their comparison."""

import csv
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from models.adversarial import AdversarialTraining
from tests.tools.training_tools import training
from utils.config.train import TrainJob
from utils.training import checkpoint_files
from utils.training.callbacks import checkpointing
from utils.training.checkpoints import read_checkpoint

STEPS = 7


ROUNDS = ["trainer.validate_every=3", "trainer.save_every=2", "trainer.log_every=1", "data.batch_size=4"]


def config(datasets: Path, runs: Path, name: str, *changed: str) -> TrainJob:
    return training(datasets, runs, name, STEPS, *ROUNDS, *changed)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_in_update(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    step = AdversarialTraining.training_step

    def deadly(self: Any, batch: Any, index: int) -> None:
        if self.steps == number:
            self.backward_all(batch, is_adversarial=True)
            die()
        step(self, batch, index)

    monkeypatch.setattr(AdversarialTraining, "training_step", deadly)


def die_in_validation(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    step = AdversarialTraining.validation_step

    def deadly(self: Any, batch: Any, index: int) -> None:
        step(self, batch, index)
        if self.steps == number:
            die()

    monkeypatch.setattr(AdversarialTraining, "validation_step", deadly)


def die_while_saving(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    save = torch.save

    def deadly(content: Any, stream: Any) -> None:
        if int(content["state_dict"]["steps_done"]) == number:
            stream.write(b"half of it")
            stream.flush()
            die()
        save(content, stream)

    monkeypatch.setattr(checkpoint_files.torch, "save", deadly)


def die_after_saving(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    save = checkpointing.BestAndLastCheckpoint.save

    def deadly(self: Any, trainer: Any, step: int) -> None:
        save(self, trainer, step)
        if step == number:
            die()

    monkeypatch.setattr(checkpointing.BestAndLastCheckpoint, "save", deadly)


def die_between_last_and_best(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = checkpointing.copy_checkpoint

    def deadly(source: Path, target: Path) -> None:
        if target.stem == "best" and int(read_checkpoint(source)["state_dict"]["steps_done"]) == number:
            die()
        copy(source, target)

    monkeypatch.setattr(checkpointing, "copy_checkpoint", deadly)


def signal_in_update(number: int, sent: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process of a run get a signal in the middle of an update."""
    step = AdversarialTraining.training_step

    def signalled(self: Any, batch: Any, index: int) -> None:
        if self.steps == number:
            os.kill(os.getpid(), sent)
        step(self, batch, index)

    monkeypatch.setattr(AdversarialTraining, "training_step", signalled)


def assert_same_run(first: Path, second: Path) -> None:
    """Compare the states and the held-out history of two runs bit by bit."""
    for which in ("last", "best", "previous"):
        ours, theirs = (read_checkpoint(run / "checkpoints" / f"{which}.ckpt") for run in (first, second))
        assert not differences(ours["state_dict"], theirs["state_dict"], which)
        for part in ("optimizer_states", "lr_schedulers", "adversarial_training", "random_states"):
            assert not differences(ours[part], theirs[part], f"{which} {part}")
    rows = [json.loads((run / "metrics.json").read_text())["history"] for run in (first, second)]
    assert [(row["step"], row["val/mel"]) for row in rows[0]] == [(row["step"], row["val/mel"]) for row in rows[1]]
    assert figures(first) == figures(second)


def figures(run: Path) -> list[dict[str, str]]:
    """Return the rows of a run's table of curves without what tells of the machine."""
    of_machine = ("performance/", "memory/")
    return [{key: value for key, value in row.items() if not key.startswith(of_machine)} for row in points(run)]


def points(run: Path) -> list[dict[str, str]]:
    """Return the rows of a run's table of curves."""
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def differences(first: Any, second: Any, path: str) -> list[str]:
    """Return where two plain structures differ."""
    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        return [] if torch.equal(first, second) else [path]
    if isinstance(first, dict) and isinstance(second, dict):
        if first.keys() != second.keys():
            return [f"{path}: {sorted(map(str, first.keys() ^ second.keys()))}"]
        return [found for key in first for found in differences(first[key], second[key], f"{path}.{key}")]
    if isinstance(first, list | tuple) and len(first) == len(second):
        pairs = enumerate(zip(first, second, strict=True))
        return [found for index, (a, b) in pairs for found in differences(a, b, f"{path}.{index}")]
    return [] if first == second else [f"{path}: {first} and {second}"]
