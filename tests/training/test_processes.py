"""Two processes train as one: the same updates, the same figures, one set of files, one end."""

import csv
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
from torch.testing import assert_close

from models.adversarial import AdversarialTraining
from models.toy import ToyVoice
from models.updating import NetworkUpdate
from tests.tools.process_tools import FORK, run_alone, run_together
from tests.tools.training_tools import make_dataset, training
from tests.training.test_exact_resume import assert_same_run
from utils.config.train import TrainJob
from utils.corpus.store import CorpusStore
from utils.errors import StoppedBySignalError, TrainingError
from utils.training.assembly import build_data
from utils.training.checkpoints import read_checkpoint
from utils.training.fit import train

COMMON = ["data.batch_size=4", "optim.optimizer.lr=0.001", "loss.adversarial_frames=20", "trainer.log_every=1"]


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data"))


def config(datasets: Path, runs: Path, name: str, steps: int, *changed: str, processes: int = 2) -> TrainJob:
    return training(datasets, runs, name, steps, *COMMON, f"trainer.devices={processes}", *changed)


def training_losses(run: Path) -> list[list[float]]:
    """Return the losses of each update as the table of curves has them."""
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["train/generator/total"]]
    names = [name for name in rows[0] if name.startswith("train/generator/") and rows[0][name]]
    return [[float(row[name]) for name in names] for row in rows]


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


@pytest.mark.slow
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
    losses = [training_losses(run) for run in runs]
    assert len(losses[0]) == 20 and len({value for row in losses[0] for value in row}) > 20
    for alone_row, shared_row in zip(*losses, strict=True):
        assert shared_row == pytest.approx(alone_row, rel=2e-3, abs=2e-3)


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_report_names_the_clips_of_the_process_that_found_the_fault(
    datasets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inference = ToyVoice.inference
    seen = tmp_path / "seen.json"

    def sick(voice: ToyVoice, *values: Any) -> torch.Tensor:
        audio = inference(voice, *values)
        return audio * float("nan") if os.environ["RANK"] == "1" and voice.training else audio

    step = AdversarialTraining.training_step

    def noted(self: Any, batch: Any, index: int) -> None:
        if self.global_rank == 1:
            seen.write_text(json.dumps(batch.segment.tolist()))
        step(self, batch, index)

    def work() -> None:
        try:
            train(config(datasets, tmp_path, "sick", 20, "trainer.max_skipped=2"))
        except TrainingError as error:
            sys.exit(error.exit_code)

    monkeypatch.setattr(ToyVoice, "inference", sick)
    monkeypatch.setattr(AdversarialTraining, "training_step", noted)
    codes = run_together([work, work])

    report = json.loads((tmp_path / "sick" / "not_finite.json").read_text())
    assert codes == [1, 1]
    assert report["update"] == 2
    assert "output of" in report["first"]
    data = build_data(config(datasets, tmp_path, "sick", 20), CorpusStore.open(datasets / "tiny"))
    assert report["clips"] == data.name_segments(json.loads(seen.read_text()))


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("how", ["exception", "killed"])
def test_death_of_one_process_ends_the_other(
    how: str, rank: int, datasets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = AdversarialTraining.training_step

    def deadly(self: Any, batch: Any, index: int) -> None:
        if self.steps == 2 and self.global_rank == rank:
            if how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise RuntimeError("the disk is gone")
        step(self, batch, index)

    monkeypatch.setattr(AdversarialTraining, "training_step", deadly)
    started = time.monotonic()
    codes = run_together([lambda: train(config(datasets, tmp_path, how, 50))] * 2)

    assert all(code != 0 for code in codes)
    assert time.monotonic() - started < 60


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_signal_to_every_process_of_a_run_saves_it(sent: signal.Signals, datasets: Path, tmp_path: Path) -> None:
    def work() -> None:
        os.setsid()
        try:
            train(training(datasets, tmp_path, "group", 10**6, "data.num_workers=1", "trainer.save_every=5"))
        except StoppedBySignalError as error:
            sys.exit(error.exit_code)

    process = FORK.Process(target=work)
    process.start()
    state = tmp_path / "group" / "checkpoints" / "last.ckpt"
    until = time.monotonic() + 60
    while not state.is_file() and process.is_alive() and time.monotonic() < until:
        time.sleep(0.02)
    assert process.pid is not None
    os.killpg(process.pid, sent)
    process.join(60)

    assert process.exitcode == 75
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)  # nobody is left
