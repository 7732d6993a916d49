"""A run that is killed at any point and resumed ends with the bits of one that was never interrupted."""

import csv
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from models.adversarial import AdversarialTraining
from tests.tools.process_tools import run_alone
from tests.tools.training_tools import make_dataset, training
from utils.config import to_yaml
from utils.config.train import TrainJob, train_job
from utils.corpus.store import CorpusStore
from utils.errors import ConfigError, FormatError, StoppedBySignalError
from utils.training import assembly, checkpoint_files
from utils.training.callbacks import checkpointing
from utils.training.checkpoints import PAYLOAD_KEY, read_checkpoint
from utils.training.fit import train
from utils.training.resuming import describe_run, require_same_run, with_settings_of_start

STEPS = 7
ROUNDS = ["trainer.validate_every=3", "trainer.save_every=2", "data.batch_size=4"]


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def whole(datasets: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes a run without interruption, once for each set of overrides."""
    runs, made = tmp_path_factory.mktemp("whole"), dict[tuple[str, ...], Path]()

    def make(*changed: str) -> Path:
        if changed not in made:
            made[changed] = train(config(datasets, runs, f"run{len(made)}", *changed))
        return made[changed]

    return make


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
        (die_between_last_and_best, 7),
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


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
@pytest.mark.parametrize("number", [0, 2, 4])  # 2: a validation follows
def test_signal_saves_the_update_and_the_run_goes_on_from_it(
    sent: signal.Signals,
    number: int,
    datasets: Path,
    whole: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = signal.getsignal(sent)
    with monkeypatch.context() as patched:
        signal_in_update(number, sent, patched)
        with pytest.raises(
            StoppedBySignalError, match=rf"{sent.name}.*update {number + 1} saved.*resume=last"
        ) as caught:
            train(config(datasets, tmp_path, "asked"))
    left = read_checkpoint(tmp_path / "asked" / "checkpoints" / "last.ckpt")

    run = train(config(datasets, tmp_path, "asked", "resume=last"))

    assert caught.value.exit_code == 75
    assert int(left["state_dict"]["steps_done"]) == number + 1
    assert signal.getsignal(sent) is before
    assert_same_run(run, whole())
    curves = [[row["step"] for row in points(place) if row["val/best_mel"]] for place in (run, whole())]
    assert curves[0] == curves[1] == ["3", "6", "7"]


def test_signal_in_the_last_update_changes_nothing(
    datasets: Path, whole: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signal_in_update(STEPS - 1, signal.SIGTERM, monkeypatch)

    run = train(config(datasets, tmp_path, "late"))

    assert_same_run(run, whole())


@pytest.fixture
def finished(datasets: Path, tmp_path: Path) -> Path:
    return train(config(datasets, tmp_path, "done"))


def resumed(finished: Path, datasets: Path, *changed: str) -> Path:
    more = [item for item in ROUNDS if item.partition("=")[0] not in {word.partition("=")[0] for word in changed}]
    return train(training(datasets, finished.parent, finished.name, STEPS + 2, *more, *changed))


@pytest.mark.parametrize("which", ["shortened", "flipped"])
def test_damaged_state_is_named_and_only_the_one_before_it_continues(
    which: str, finished: Path, datasets: Path, tmp_path: Path
) -> None:
    path = finished / "checkpoints" / "last.ckpt"
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle] ^= 0x10
    path.unlink()
    path.write_bytes(content if which == "flipped" else content[:middle])

    for resume in ("last", "auto"):
        with pytest.raises(FormatError, match=r"last\.ckpt cannot be read .*resume=previous continues") as caught:
            resumed(finished, datasets, f"resume={resume}")
        assert "\n" not in str(caught.value)
    run = resumed(finished, datasets, "resume=previous")

    other = train(training(datasets, tmp_path, "never", STEPS + 2, *ROUNDS))
    ours, theirs = (read_checkpoint(place / "checkpoints" / "last.ckpt")["state_dict"] for place in (run, other))
    assert not differences(ours, theirs, "last")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ("data.batch_size=2", r"data\.batch_size 4 -> 2.*drawn in another order"),
        ("seed=9", r"seed 1234 -> 9.*drawn anew"),
        ("optim.accumulate=2", r"optim\.accumulate 1 -> 2.*rounding"),
        ("optim.optimizer.lr=0.01", r"optim\.optimizer\.lr .* -> 0\.01.*as another one would"),
        ("trainer.precision=bf16-mixed", r"trainer\.precision 32-true -> bf16-mixed"),
        ("data.val_segment_frames=40", r"data\.val_segment_frames 60 -> 40.*no longer compare"),
        ("trainer.channels_last=true", r"trainer\.channels_last False -> True.*rounding"),
    ],
)
def test_resuming_with_other_settings_needs_a_word_and_says_what_is_lost(
    changed: str, words: str, finished: Path, datasets: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConfigError, match=rf"{words}.*resume_changed=true") as caught:
        resumed(finished, datasets, "resume=last", changed)
    resumed(finished, datasets, "resume=last", changed, "resume_changed=true")

    assert "\n" not in str(caught.value)
    assert "resumed with other settings" in caplog.text
    assert int(read_checkpoint(finished / "checkpoints" / "last.ckpt")["state_dict"]["steps_done"]) == STEPS + 2


@pytest.mark.parametrize("changed", ["data.num_workers=1", "trainer.validate_every=4", "trainer.save_every=1"])
def test_settings_that_decide_no_number_can_change(
    changed: str, finished: Path, datasets: Path, tmp_path: Path
) -> None:
    run = resumed(finished, datasets, "resume=last", changed)

    other = train(training(datasets, tmp_path, "never", STEPS + 2, *ROUNDS))
    ours, theirs = (read_checkpoint(place / "checkpoints" / "last.ckpt")["state_dict"] for place in (run, other))
    assert not differences(ours, theirs, "last")


def test_a_run_from_before_a_setting_existed_goes_on_with_what_it_had(datasets: Path, tmp_path: Path) -> None:
    dataset = CorpusStore.open(datasets / "tiny").description
    old, new = (
        training(datasets, tmp_path, "old", STEPS, "model=lite", f"model.expansion={count}") for count in (3, 2)
    )
    decisive = describe_run(old, dataset)
    del decisive["model.expansion"]
    content = {PAYLOAD_KEY: {"decisive": decisive}}

    assert require_same_run(content, tmp_path / "last.ckpt", old, dataset) == ""
    with pytest.raises(ConfigError, match=r"model\.expansion 3 -> 2"):
        require_same_run(content, tmp_path / "last.ckpt", new, dataset)


def test_a_run_goes_on_with_what_its_start_brought(datasets: Path, tmp_path: Path) -> None:
    def settings(steps: int, *changed: str) -> TrainJob:
        return training(datasets, tmp_path, "run", steps, "data.batch_size=${pretrained.batch_size}", *changed)

    train(settings(3, "pretrained.learning_rate=1e-3", "pretrained.batch_size=2"))
    run = train(settings(4, "resume=last"))

    decisive = read_checkpoint(run / "checkpoints" / "last.ckpt")[PAYLOAD_KEY]["decisive"]
    assert decisive["optim.optimizer.lr"] == 1e-3
    assert decisive["data.batch_size"] == 2


def test_a_run_from_before_starts_brought_settings_keeps_the_older_ones() -> None:
    typed = train_job(["pretrained=builtin"])
    before = typed.to_plain()
    for key in ("batch_size", "learning_rate", "half_life_steps"):
        del before["pretrained"][key]

    now = with_settings_of_start({PAYLOAD_KEY: {"config": to_yaml(before)}}, typed)

    assert (now.data.batch_size, now.optim.optimizer.arguments["lr"]) == (12, 8e-4)
    assert now.optim.schedule.arguments["half_life_steps"] == 5000


def test_the_base_voice_brings_batch_and_rate_and_given_ones_win() -> None:
    def settings(*changed: str) -> tuple[int, float]:
        config = train_job(list(changed))
        return config.data.batch_size, config.optim.optimizer.arguments["lr"]

    assert settings("pretrained=builtin") != settings()
    assert settings("pretrained=builtin", "data.batch_size=5", "optim.optimizer.lr=3e-4") == (5, 3e-4)
    assert settings("pretrained=builtin", "optim=rvc")[1] == 1e-4
    assert settings("experiment=lite_base", "pretrained=builtin") == (12, 4e-4)


def test_auto_resume_begins_a_run_that_does_not_exist(
    datasets: Path, whole: Callable[..., Path], tmp_path: Path
) -> None:
    run = train(config(datasets, tmp_path, "first", "resume=auto"))

    assert_same_run(run, whole())


def test_state_of_an_older_version_needs_a_word(finished: Path, datasets: Path) -> None:
    path = finished / "checkpoints" / "last.ckpt"
    content = read_checkpoint(path)
    del content["voclo_trainer"]["decisive"], content["random_states"], content["adversarial_training"]
    torch.save(content, path)

    with pytest.raises(ConfigError, match=r"last\.ckpt is of an older version.*resume_changed=true"):
        resumed(finished, datasets, "resume=last")
    resumed(finished, datasets, "resume=last", "resume_changed=true")

    assert int(read_checkpoint(path)["state_dict"]["steps_done"]) == STEPS + 2


def test_changed_settings_of_the_optimizer_hold_after_resuming(finished: Path, datasets: Path) -> None:
    changed = ["optim.optimizer.lr=0.01", "optim.optimizer.weight_decay=0.5", "optim/schedule=constant"]

    run = resumed(finished, datasets, "resume=last", *changed, "resume_changed=true")

    content = read_checkpoint(run / "checkpoints" / "last.ckpt")
    for state, schedule in zip(content["optimizer_states"], content["lr_schedulers"], strict=True):
        assert {group["lr"] for group in state["param_groups"]} == {0.01}
        assert {group["initial_lr"] for group in state["param_groups"]} == {0.01}
        assert state["param_groups"][0]["weight_decay"] == 0.5
        assert set(schedule["base_lrs"]) == {0.01}
        assert schedule["last_epoch"] == STEPS + 2


def test_best_state_is_one_with_the_adversary(datasets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = AdversarialTraining.validation_step

    def rising(self: Any, batch: Any, index: int) -> None:
        step(self, batch, index)
        self.validated = (float({3: 1, 6: 3, 7: 4}[self.steps]), 1)

    monkeypatch.setattr(AdversarialTraining, "validation_step", rising)
    run = train(config(datasets, tmp_path, "late", "loss.adversarial_start=5"))

    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["best"]["step"] == 6
    assert int(read_checkpoint(run / "checkpoints" / "best.ckpt")["state_dict"]["steps_done"]) == 6
    assert [row["val/best_mel"] for row in points(run) if row["val/best_mel"]] == ["1", "3", "3"]


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGUSR1])
def test_signal_before_the_first_update_asks_for_another_try(
    sent: signal.Signals, datasets: Path, whole: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), sent)

    before = signal.getsignal(sent)
    with monkeypatch.context() as patched:
        patched.setattr(assembly, "prepare_codebook", asked)
        with pytest.raises(StoppedBySignalError, match=rf"{sent.name} .*outside of the updates.*resume=auto") as caught:
            train(config(datasets, tmp_path, "early"))

    assert caught.value.exit_code == 75
    assert signal.getsignal(sent) is before
    assert_same_run(train(config(datasets, tmp_path, "early", "resume=auto")), whole())
