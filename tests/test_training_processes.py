"""Two processes train as one: the same updates, the same figures, one set of files, one end."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig
from torch.testing import assert_close

from models.adversarial import AdversarialTraining
from models.updating import NetworkUpdate
from tests.process_tools import run_alone, run_together
from tests.test_training_exact_resume import assert_same_run
from tests.training_tools import make_dataset, training
from utils.errors import StoppedBySignalError
from utils.training.checkpoints import read_checkpoint
from utils.training.fit import train

COMMON = ["data.batch_size=4", "optim.optimizer.lr=0.001", "loss.adversarial_frames=20"]


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data"))


def config(datasets: Path, runs: Path, name: str, steps: int, *changed: str, processes: int = 2) -> DictConfig:
    return training(datasets, runs, name, steps, *COMMON, f"trainer.devices={processes}", *changed)


def record_gradients(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each process write the gradients of its first update."""
    step = NetworkUpdate.step

    def recording(self: NetworkUpdate) -> None:
        path = folder / f"{os.environ.get('RANK', '0')}_{type(self.network).__name__}.pt"
        if not path.exists():
            named = self.network.named_parameters()
            torch.save({name: value.grad.clone() for name, value in named if value.grad is not None}, path)
        step(self)

    monkeypatch.setattr(NetworkUpdate, "step", recording)


@pytest.mark.parametrize(
    "changed",
    [
        [],
        ["optim.accumulate=2"],
        ["loss.objective=hifigan"],
        ["model=lite", "model.channels=32", "model.num_blocks=2"],
    ],
    ids=["toy", "accumulated", "sums", "lite"],
)
def test_two_processes_do_the_updates_of_one(
    changed: list[str], datasets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with monkeypatch.context() as patched:
        record_gradients(tmp_path / "one", patched)
        alone = run_alone(lambda: train(config(datasets, tmp_path, "alone", 20, *changed, processes=1)))
    with monkeypatch.context() as patched:
        record_gradients(tmp_path / "two", patched)
        codes = run_together([lambda: train(config(datasets, tmp_path, "shared", 20, *changed))] * 2)

    assert (alone, codes) == (0, [0, 0])
    for path in sorted((tmp_path / "one").iterdir()):
        expected = torch.load(path)
        for rank in ("0", "1"):
            found = torch.load(tmp_path / "two" / path.name.replace("0_", f"{rank}_", 1))
            assert found.keys() == expected.keys()
            for name, value in expected.items():
                assert value.abs().max() > 0
                assert_close(found[name], value, atol=1e-5, rtol=1e-5)
    runs = [tmp_path / name for name in ("alone", "shared")]
    one, two = (read_checkpoint(run / "checkpoints" / "last.ckpt") for run in runs)
    assert int(two["state_dict"]["steps_done"]) == 20
    for name, value in one["state_dict"].items():
        assert_close(two["state_dict"][name].double(), value.double(), atol=1e-3, rtol=0)
    first, second = (json.loads((run / "metrics.json").read_text())["last"]["val/mel"] for run in runs)
    assert second == pytest.approx(first, rel=1e-3)


def test_two_processes_killed_and_resumed_end_as_two_never_interrupted(
    datasets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = ["trainer.validate_every=3", "trainer.save_every=2", "optim.accumulate=2"]
    step = AdversarialTraining.training_step

    def deadly(self: Any, batch: Any, index: int) -> None:
        if self.steps == 5 and self.global_rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        step(self, batch, index)

    def work(name: str, *changed: str) -> Callable[[], Any]:
        return lambda: train(config(datasets, tmp_path, name, 7, *rounds, *changed))

    whole = run_together([work("whole")] * 2)
    with monkeypatch.context() as patched:
        patched.setattr(AdversarialTraining, "training_step", deadly)
        started = time.monotonic()
        cut = run_together([work("cut")] * 2)
        seconds = time.monotonic() - started
    resumed = run_together([work("cut", "resume=auto")] * 2)

    assert whole == resumed == [0, 0]
    assert cut[1] == -signal.SIGKILL
    assert cut[0] != 0  # the other one does not wait for ever, and does not call it a success
    assert seconds < 60
    assert_same_run(tmp_path / "cut", tmp_path / "whole")


def test_signal_to_one_process_stops_both_at_the_same_update(
    datasets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = AdversarialTraining.training_step

    def signalled(self: Any, batch: Any, index: int) -> None:
        if self.steps == 3 and self.global_rank == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        step(self, batch, index)

    def work() -> None:
        try:
            train(config(datasets, tmp_path, "asked", 50))
        except StoppedBySignalError as error:
            sys.exit(error.exit_code)

    monkeypatch.setattr(AdversarialTraining, "training_step", signalled)
    codes = run_together([work, work])

    assert codes == [75, 0]
    assert int(read_checkpoint(tmp_path / "asked" / "checkpoints" / "last.ckpt")["state_dict"]["steps_done"]) == 4
