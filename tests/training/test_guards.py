"""A training that diverges says where, 16 bits train, and a probe proposes what fits."""

import csv
import json
import math
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from models.adversarial import AdversarialTraining
from models.toy import ToyVoice
from tests.tools.training_tools import make_dataset, training
from tests.training.test_exact_resume import signal_in_update
from utils.errors import StoppedBySignalError, TrainingError
from utils.training.checkpoints import read_checkpoint
from utils.training.fit import train
from utils.training.probe import Trial, propose


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data"))


class Diverges:
    """Lets the generator answer NaN in some updates, counted from the first."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, updates: set[int]) -> None:
        self.count = -1
        inference = ToyVoice.inference

        def sick(voice: ToyVoice, *values: Any) -> torch.Tensor:
            audio = inference(voice, *values)
            if not voice.training or not torch.is_grad_enabled():
                return audio
            self.count += 1
            return audio * float("nan") if self.count in updates or -1 in updates else audio

        monkeypatch.setattr(ToyVoice, "inference", sick)


@pytest.mark.slow
def test_diverged_training_stops_with_a_report_and_leaves_sound_states(
    datasets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Diverges(monkeypatch, set(range(4, 20)))

    with pytest.raises(
        TrainingError, match=r"3 updates in a row \(up to 7\).*first found in.*not_finite\.json"
    ) as caught:
        train(training(datasets, tmp_path, "sick", 20, "trainer.max_skipped=3", "trainer.save_every=2"))

    report = json.loads((tmp_path / "sick" / "not_finite.json").read_text())
    state = read_checkpoint(tmp_path / "sick" / "checkpoints" / "last.ckpt")["state_dict"]
    assert caught.value.exit_code == 1
    assert "\n" not in str(caught.value)
    assert report["update"] == 7
    assert report["skipped_in_a_row"] == report["skipped_in_all"] == 3
    assert "loss" in report["first"] or "output" in report["first"]
    assert all(" from frame " in clip for clip in report["clips"]) and len(report["clips"]) == 2
    assert all(bool(torch.isfinite(value).all()) for value in state.values())


def test_few_bad_updates_are_skipped_counted_and_said(
    datasets: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Diverges(monkeypatch, {1, 2, 5})

    run = train(training(datasets, tmp_path, "better", 8, "trainer.max_skipped=3", "trainer.log_every=1"))

    assert "update 2 was skipped: its gradient is not finite (1 so far)" in caplog.text
    assert "3 of the updates were skipped" in capsys.readouterr().out
    assert json.loads((run / "metrics.json").read_text())["skipped"] == 3
    with (run / "metrics.csv").open(newline="") as stream:
        counts = [row["train/skipped_updates"] for row in csv.DictReader(stream)]
    assert [float(count) for count in counts if count] == [0, 1, 2, 2, 2, 3, 3, 3]

    content = read_checkpoint(run / "checkpoints" / "last.ckpt")
    assert content["adversarial_training"]["skipped"] == 3
    assert content["adversarial_training"]["skipped_in_a_row"] == 0
    assert all(bool(torch.isfinite(value).all()) for value in content["state_dict"].values())


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["16-mixed", "bf16-mixed"])
def test_sixteen_bits_train_resume_and_learn(precision: str, datasets: Path, tmp_path: Path) -> None:
    changed = [f"trainer.precision={precision}", "optim.optimizer.lr=0.003", "trainer.validate_every=10"]
    whole = train(training(datasets, tmp_path, "whole", 30, *changed))
    train(training(datasets, tmp_path, "parts", 20, *changed))

    parts = train(training(datasets, tmp_path, "parts", 30, "resume=last", *changed))

    values = [row["val/mel"] for row in json.loads((whole / "metrics.json").read_text())["history"]]
    ours, theirs = (read_checkpoint(run / "checkpoints" / "last.ckpt") for run in (parts, whole))
    assert values[-1] < 0.9 * values[0]
    assert ours["adversarial_training"] == theirs["adversarial_training"]
    assert all(torch.equal(value, theirs["state_dict"][key]) for key, value in ours["state_dict"].items())
    assert set(ours["adversarial_training"]["scalers"]) == {"generator", "discriminator"}


@pytest.mark.slow
def test_probe_tries_halves_down_to_one_clip_and_trains_nothing(
    datasets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(training(datasets, tmp_path, "probed", 5, "trainer.probe=true", "data.batch_size=4"))

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[2:5]] == [["4", "1"], ["2", "2"], ["1", "4"]]
    assert "proposed (cpu with" in lines[-1] and "optim.accumulate=" in lines[-1]
    assert not (run / "checkpoints").exists()


def test_probe_tries_what_one_of_several_devices_gets(
    datasets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = ["trainer.probe=true", "data.batch_size=4", "trainer.devices=2"]

    train(training(datasets, tmp_path, "probed", 5, *changed))

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[2:4]] == [["2", "1"], ["1", "2"]]
    assert "an update stays 2 clips on each device" in lines[-1]


def test_proposal_is_the_smallest_of_the_fastest_that_fit() -> None:
    trials = [Trial(8, 1, None, 900), Trial(4, 2, 1.00, 950), Trial(2, 4, 1.10, 500), Trial(1, 8, 1.12, 300)]

    assert propose(trials, 2000) == trials[1]
    assert propose(trials, 1000) == trials[3]  # 950 is more than nine tenths; 1.12 is as fast as 1.10
    assert propose(trials, 100) is None


@pytest.mark.parametrize("changed", [[], ["loss.adversarial_start=1"]], ids=["always", "adversary"])
def test_validation_without_a_number_neither_ends_a_run_nor_is_its_best(
    changed: list[str], datasets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = AdversarialTraining.validation_step

    def validated(self: Any, batch: Any, index: int) -> None:
        step(self, batch, index)
        self.validated = ({2: math.nan, 4: 0.5, 6: 0.7}[self.steps], 1)

    monkeypatch.setattr(AdversarialTraining, "validation_step", validated)
    run = train(training(datasets, tmp_path, "hole", 6, "trainer.validate_every=2", *changed))

    metrics = json.loads((run / "metrics.json").read_text())
    assert [row["val/mel"] for row in metrics["history"]] == [None, 0.5, pytest.approx(0.7)]
    best = read_checkpoint(run / "checkpoints" / "best.ckpt")
    assert int(best["state_dict"]["steps_done"]) == metrics["best"]["step"] == 4
    with (run / "metrics.csv").open(newline="") as stream:
        lowest = [row["val/best_mel"] for row in csv.DictReader(stream) if row["val/best_mel"]]
    assert lowest == ["0.5", "0.5"]


def test_run_that_has_nothing_left_to_do_and_was_never_judged_ends_well(
    datasets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = ["trainer.validate_every=9", "trainer.save_every=2"]
    signal_in_update(2, signal.SIGTERM, monkeypatch)
    with pytest.raises(StoppedBySignalError):
        train(training(datasets, tmp_path, "short", 9, *rounds))

    run = train(training(datasets, tmp_path, "short", 2, *rounds, "resume=last"))

    metrics = json.loads((run / "metrics.json").read_text())
    assert (metrics["steps"], metrics["best"], metrics["last"], metrics["history"]) == (3, None, None, [])


def test_clip_of_which_the_voice_makes_no_sound_is_left_out(
    datasets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inference, validated = ToyVoice.inference, AdversarialTraining.on_validation_epoch_start
    now = {"step": 0}

    def starting(self: Any) -> None:
        validated(self)
        now["step"] = self.steps

    def sick(voice: ToyVoice, *values: Any) -> torch.Tensor:
        audio = inference(voice, *values)
        return audio * float("nan") if now["step"] == 2 and not torch.is_grad_enabled() else audio

    monkeypatch.setattr(AdversarialTraining, "on_validation_epoch_start", starting)
    monkeypatch.setattr(ToyVoice, "inference", sick)
    run = train(training(datasets, tmp_path, "mute", 4, "trainer.validate_every=2", "trainer.media=true"))

    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"audio": 0}).Reload()
    for tag in ("clip0/real", "clip0/converted"):
        assert [item.step for item in events.Audio(tag)] == [4]
