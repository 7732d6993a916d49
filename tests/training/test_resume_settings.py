"""A run goes on with the settings it began with, or says what is lost."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from models.adversarial import AdversarialTraining
from tests.tools.corpus_tools import described
from tests.tools.resume_tools import ROUNDS, STEPS, config, differences, points
from tests.tools.training_tools import make_dataset, training
from utils.config import to_yaml
from utils.config.train import TrainJob, train_job
from utils.corpus.store import CorpusStore
from utils.errors import ConfigError, FormatError
from utils.training.checkpoint_checks import PAYLOAD_KEY
from utils.training.checkpoints import read_checkpoint
from utils.training.fit import train
from utils.training.resuming import describe_run, differing_keys, require_same_run, with_settings_of_start


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def trained(datasets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(config(datasets, tmp_path_factory.mktemp("runs"), "done"))


@pytest.fixture
def finished(trained: Path, tmp_path: Path) -> Path:
    """A copy of a finished run."""
    return shutil.copytree(trained, tmp_path / trained.name)


def resumed(finished: Path, datasets: Path, *changed: str) -> Path:
    more = [item for item in ROUNDS if item.partition("=")[0] not in {word.partition("=")[0] for word in changed}]
    return train(training(datasets, finished.parent, finished.name, STEPS + 2, *more, *changed))


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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
    for key in ("batch_size", "learning_rate", "half_life_steps", "validate_every", "validate_epochs"):
        del before["pretrained"][key]

    now = with_settings_of_start({PAYLOAD_KEY: {"config": to_yaml(before)}}, typed)

    assert (now.data.batch_size, now.optim.optimizer.arguments["lr"]) == (12, 8e-4)
    assert now.optim.schedule.arguments["half_life_steps"] == 5000
    assert (typed.trainer.validate_every, now.trainer.validate_every) == (200, 500)
    assert (typed.pretrained.validate_epochs, now.pretrained.validate_epochs) == (10, 0)


@pytest.mark.slow
def test_the_base_voice_brings_batch_and_rate_and_given_ones_win() -> None:
    def settings(*changed: str) -> tuple[int, float]:
        config = train_job(list(changed))
        return config.data.batch_size, config.optim.optimizer.arguments["lr"]

    assert settings("pretrained=builtin") != settings()
    assert settings("pretrained=builtin", "data.batch_size=5", "optim.optimizer.lr=3e-4") == (5, 3e-4)
    assert settings("pretrained=builtin", "optim=rvc")[1] == 1e-4
    assert settings("experiment=lite_base", "pretrained=builtin") == (12, 4e-4)


@pytest.mark.slow
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


@pytest.mark.slow
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


TRAINER_KEYS = ("precision", "accelerator", "channels_last", "compile", "fit_memory")
# what runs of model=lite named from the first version on, by section
NAMED_AT_FIRST = {
    "audio": "f_max f_min hop_length n_fft n_mels sample_rate",
    "augmentation": (
        "_target_ formant_percent gain_down_db gain_up_db noise_share pitch_semitones room_share "
        "speed_percent voice_share"
    ),
    "data": "batch_size bucketing perturbed_share segment_frames speaker_weights val_segment_frames",
    "discriminator": "_target_ channels windows",
    "loss": (
        "adversarial_frames adversarial_start objective weights.adversarial weights.feature_matching weights.spectral"
    ),
    "model": "_target_ channels kernel_size n_fft num_blocks sample_rate speaker_dim",
    "optim": (
        "accumulate clip_norm decay_all ema_decay fused optimizer._partial_ optimizer._target_ "
        "optimizer.betas optimizer.lr optimizer.weight_decay schedule._target_ schedule.half_life_steps "
        "warmup_steps"
    ),
    "retrieval": "codebook_size training_share",
}


def test_a_setting_that_older_runs_do_not_name_has_the_value_that_they_had() -> None:
    dataset = described("a", content={})
    job = train_job(["dataset.name=x", "model.expansion=3"])
    old = {f"{section}.{key}" for section, keys in NAMED_AT_FIRST.items() for key in keys.split()}
    old |= {"seed", "processes", "dataset", *(f"trainer.{key}" for key in TRAINER_KEYS)}
    now = describe_run(job, dataset)
    content = {PAYLOAD_KEY: {"decisive": {key: value for key, value in now.items() if key in old}}}

    assert old <= now.keys()
    assert not differing_keys(content, job, dataset), "add it to ADDED with the value that older runs had"
    for changed in (["data.block_share=0.5"], ["data.repeat_batch=true"], ["model=lite_blocks"], ["model.expansion=2"]):
        other = train_job(["dataset.name=x", "model.expansion=3", *changed])
        assert differing_keys(content, other, dataset)
