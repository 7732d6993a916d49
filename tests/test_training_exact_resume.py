"""A run that is killed at any point and resumed ends with the bits of one that was never interrupted."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig

from models.adversarial import AdversarialTraining
from tests.process_tools import run_alone, run_together
from tests.training_tools import make_dataset, training
from utils.errors import ConfigError, FormatError, StoppedBySignalError
from utils.training import keeping
from utils.training.checkpoints import read_checkpoint
from utils.training.fit import train

STEPS = 7
ROUNDS = ["trainer.validate_every=3", "trainer.save_every=2", "data.batch_size=4"]


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def whole(datasets: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes a run without interruption, once for each set of changes."""
    runs, made = tmp_path_factory.mktemp("whole"), dict[tuple[str, ...], Path]()

    def make(*changed: str) -> Path:
        if changed not in made:
            made[changed] = train(config(datasets, runs, f"run{len(made)}", *changed))
        return made[changed]

    return make


def config(datasets: Path, runs: Path, name: str, *changed: str) -> DictConfig:
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

    monkeypatch.setattr(keeping.torch, "save", deadly)


def die_between_last_and_best(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    link = keeping._link

    def deadly(source: Path, target: Path) -> None:
        if target.stem == "best" and int(read_checkpoint(source)["state_dict"]["steps_done"]) == number:
            die()
        link(source, target)

    monkeypatch.setattr(keeping, "_link", deadly)


def assert_same_run(first: Path, second: Path) -> None:
    """Compare the states and the held-out history of two runs bit by bit."""
    for which in ("last", "best", "previous"):
        ours, theirs = (read_checkpoint(run / "checkpoints" / f"{which}.ckpt") for run in (first, second))
        assert not differences(ours["state_dict"], theirs["state_dict"], which)
        for part in ("optimizer_states", "lr_schedulers", "adversarial_training", "random_states"):
            assert not differences(ours[part], theirs[part], f"{which} {part}")
    rows = [json.loads((run / "metrics.json").read_text())["history"] for run in (first, second)]
    assert [(row["step"], row["val/mel"]) for row in rows[0]] == [(row["step"], row["val/mel"]) for row in rows[1]]


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


@pytest.mark.parametrize(
    ("kill", "number"),
    [
        (die_in_update, 0),
        (die_in_update, 1),
        (die_in_update, 2),
        (die_in_update, 5),
        (die_in_update, 6),
        (die_in_validation, 3),
        (die_in_validation, 6),
        (die_in_validation, 7),
        (die_while_saving, 2),
        (die_while_saving, 3),
        (die_while_saving, 4),
        (die_while_saving, 7),
        (die_between_last_and_best, 3),
    ],
)
@pytest.mark.parametrize("changed", [[], ["optim.accumulate=2"]], ids=["whole", "accumulated"])
def test_killed_run_ends_as_one_never_interrupted(
    kill: Callable[[int, pytest.MonkeyPatch], None],
    number: int,
    changed: list[str],
    datasets: Path,
    whole: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patched:
        kill(number, patched)
        code = run_alone(lambda: train(config(datasets, tmp_path, "cut", *changed)))

    run = train(config(datasets, tmp_path, "cut", "resume=auto", *changed))

    assert code == -signal.SIGKILL
    assert_same_run(run, whole(*changed))
    assert not list((run / "checkpoints").glob(".*"))
