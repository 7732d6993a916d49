"""A whole training through train(): what it leaves, that it learns, that it goes on where it was."""

import json
import math
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tools.training_tools import make_dataset, training
from tests.training.test_exact_resume import signal_in_update
from utils.audio.synthetic_speech import voice
from utils.config import from_yaml
from utils.config.train import TrainJob
from utils.errors import ConfigError, DataError, FormatError, StoppedBySignalError
from utils.training.checkpoint_checks import PAYLOAD_KEY
from utils.training.checkpoints import load_voice, read_checkpoint
from utils.training.codebook import CODEBOOK_FILE, read_codebook, save_codebook
from utils.training.fit import train

STEPS = 45


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def run(datasets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with plots and audio, validated three times."""
    runs = tmp_path_factory.mktemp("runs")
    changed = ["trainer.validate_every=15", "trainer.media=true", "optim.optimizer.lr=0.003"]
    return train(training(datasets, runs, "whole", STEPS, *changed))


def state(run: Path, which: str = "last") -> dict[str, Any]:
    return read_checkpoint(run / "checkpoints" / f"{which}.ckpt")["state_dict"]


def load_codebook(run: Path) -> torch.Tensor:
    retrieval = read_codebook(run)
    assert retrieval is not None
    return retrieval.codebook


def assert_same_state(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert first.keys() == second.keys()
    different = [key for key in first if not torch.equal(first[key], second[key])]
    assert not different


def test_run_leaves_its_files(run: Path) -> None:
    found = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}

    events = {name for name in found if name.startswith("tensorboard/events")}
    states = {f"checkpoints/{name}.ckpt" for name in ("best", "last", "previous")}
    expected = {"config.yaml", "metrics.csv", "metrics.json", "codebook.safetensors"} | states
    kept = {name for name in found if name.startswith("listening/")}
    assert found - events - kept - {"tensorboard/hparams.yaml", "report.html"} == expected
    assert events and "listening/listening.json" in kept


def test_held_out_loss_goes_down(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())

    values = [row["val/mel"] for row in metrics["history"]]
    assert [row["step"] for row in metrics["history"]] == [15, 30, 45]
    assert metrics["best"]["val/mel"] == min(values)
    assert values[-1] < 0.9 * values[0]
    assert metrics["steps"] == STEPS


@pytest.mark.parametrize("which", ["best", "last"])
def test_checkpoint_is_plain_data_with_configuration_and_dataset(run: Path, datasets: Path, which: str) -> None:
    content = torch.load(run / "checkpoints" / f"{which}.ckpt", weights_only=True)

    payload = content[PAYLOAD_KEY]
    assert payload["config"] == (run / "config.yaml").read_text()
    assert payload["dataset"] == json.loads((datasets / "tiny" / "dataset.json").read_text())
    assert math.isfinite(payload["metrics"]["val/mel"])
    assert int(content["state_dict"]["steps_done"]) % 15 == 0


def test_best_checkpoint_has_the_lowest_held_out_loss(run: Path) -> None:
    best = json.loads((run / "metrics.json").read_text())["best"]

    content = read_checkpoint(run / "checkpoints" / "best.ckpt")

    assert content[PAYLOAD_KEY]["metrics"]["val/mel"] == pytest.approx(best["val/mel"])
    assert int(content["state_dict"]["steps_done"]) == best["step"]


def test_saved_configuration_is_resolved_and_complete(run: Path) -> None:
    config = TrainJob.from_plain(from_yaml((run / "config.yaml").read_text(encoding="utf-8")))

    assert config.model.arguments["sample_rate"] == 16000
    assert config.trainer.steps == STEPS
    assert "${" not in (run / "config.yaml").read_text()


def test_voice_is_read_back_and_converts(run: Path) -> None:
    loaded = load_voice(run, "last", io_rate=24000)

    audio = torch.from_numpy(voice(0.5, 24000))[None]
    values = [torch.tensor(value) for value in (0.0, 1, 0.5, 0.33, 1.0)]
    converted = loaded.converter(audio, *values)
    assert loaded.speakers == ["anna", "bert"]
    assert (loaded.step, loaded.io_rate) == (STEPS, 24000)
    assert loaded.metrics["val/mel"] > 0
    assert loaded.converter.retrieval is not None
    assert not loaded.model.training and not loaded.converter.training
    assert converted.shape == audio.shape
    assert converted.square().mean().sqrt().item() > 1e-4


@pytest.mark.slow
def test_voice_of_a_state_between_validations_has_no_figures_of_another(
    datasets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signal_in_update(2, signal.SIGTERM, monkeypatch)
    with pytest.raises(StoppedBySignalError):
        train(training(datasets, tmp_path, "cut", 9, "trainer.validate_every=2"))

    best, newest = load_voice(tmp_path / "cut", "best"), load_voice(tmp_path / "cut", "last")

    assert (best.step, newest.step) == (2, 3)
    assert best.metrics["val/mel"] > 0
    assert newest.metrics == {}


def test_voice_is_the_average_not_the_last_weights(run: Path) -> None:
    loaded, content = load_voice(run, "last"), state(run)

    key = "output.weight"
    assert torch.equal(loaded.model.state_dict()[key], content[f"averaged.{key}"])
    assert not torch.equal(content[f"averaged.{key}"], content[f"generator.{key}"])


def test_tensorboard_has_scalars_pictures_and_sounds_by_step(run: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0, "images": 0, "audio": 0}).Reload()

    assert [item.step for item in events.Scalars("val/mel")] == [15, 30, 45]
    assert max(item.step for item in events.Scalars("train/generator/spectral")) <= STEPS
    assert [item.step for item in events.Audio("clip0/converted")] == [15, 30, 45]


@pytest.mark.slow
@pytest.mark.parametrize("changed", ["seed=5", "discriminator=none", "optim.accumulate=2", "loss.adversarial_start=2"])
def test_resumed_run_equals_the_uninterrupted_one_bit_by_bit(datasets: Path, tmp_path: Path, changed: str) -> None:
    whole = train(training(datasets, tmp_path, "whole", 6, changed))
    train(training(datasets, tmp_path, "parts", 3, changed))

    parts = train(training(datasets, tmp_path, "parts", 6, "resume=last", changed))

    assert int(state(parts)["steps_done"]) == 6
    assert_same_state(state(parts), state(whole))
    assert [row["step"] for row in json.loads((parts / "metrics.json").read_text())["history"]] == [3, 6]


@pytest.mark.slow
def test_run_cut_between_validations_is_judged_and_resumed_from_there(datasets: Path, tmp_path: Path) -> None:
    whole = train(training(datasets, tmp_path, "whole", 5))
    part = train(training(datasets, tmp_path, "part", 3, "trainer.validate_every=2"))

    assert [row["step"] for row in json.loads((part / "metrics.json").read_text())["history"]] == [2, 3]
    resumed = train(training(datasets, tmp_path, "part", 5, "trainer.validate_every=2", "resume=last"))

    assert_same_state(state(resumed), state(whole))


@pytest.mark.slow
def test_resuming_a_complete_run_adds_no_step(datasets: Path, tmp_path: Path) -> None:
    first = train(training(datasets, tmp_path, "done", 2))
    before = state(first)

    again = train(training(datasets, tmp_path, "done", 2, "resume=last"))

    assert_same_state(state(again), before)
    assert json.loads((again / "metrics.json").read_text())["steps"] == 2


@pytest.mark.slow
def test_seed_decides_the_run(datasets: Path, tmp_path: Path) -> None:
    first, second, other = (
        train(training(datasets, tmp_path, name, 2, f"seed={seed}")) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )

    assert_same_state(state(first), state(second))
    assert not torch.equal(state(first)["generator.output.weight"], state(other)["generator.output.weight"])


def test_run_without_adversary_average_or_retrieval_can_be_read_back(datasets: Path, tmp_path: Path) -> None:
    changed = ["discriminator=none", "optim.ema_decay=0", "retrieval.codebook_size=0"]

    run = train(training(datasets, tmp_path, "plain", 2, *changed))

    loaded = load_voice(run)
    assert loaded.step == 2
    assert loaded.converter.retrieval is None
    assert not any(key.startswith(("discriminator", "averaged")) for key in state(run))


def test_existing_run_is_not_overwritten_unasked(run: Path, datasets: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}

    with pytest.raises(ConfigError, match=r"already holds.*resume=last.*run\.name="):
        train(training(datasets, run.parent, run.name, 2))

    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_codebook_of_an_earlier_try_is_not_taken_over(datasets: Path, tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "codebook.safetensors").write_bytes(b"left over")

    run = train(training(datasets, tmp_path, "again", 1, "retrieval.codebook_size=0"))

    assert not (run / "codebook.safetensors").exists()


@pytest.mark.slow
def test_resumed_run_keeps_its_codebook_and_remakes_a_lost_one(datasets: Path, tmp_path: Path) -> None:
    run = train(training(datasets, tmp_path, "book", 1))
    whole, half = load_codebook(run), load_codebook(run)[:, :8]
    save_codebook(run, half)

    train(training(datasets, tmp_path, "book", 2, "resume=last"))
    kept = load_codebook(run)
    (run / CODEBOOK_FILE).unlink()
    train(training(datasets, tmp_path, "book", 3, "resume=last"))

    assert torch.equal(kept, half)
    assert torch.equal(load_codebook(run), whole)


@pytest.mark.parametrize("resume", ["last", "best", "/nowhere/else.ckpt"])
def test_resuming_what_does_not_exist_says_what_is_allowed(datasets: Path, tmp_path: Path, resume: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"resume={resume}: .*does not exist; allowed: auto, last, previous, best or a path"
    ):
        train(training(datasets, tmp_path, "new", 2, f"resume={resume}"))


@pytest.mark.parametrize("changed", ["model.channels=8", "discriminator=none", "optim.ema_decay=0"])
def test_resuming_with_other_networks_is_refused_and_changes_nothing(run: Path, datasets: Path, changed: str) -> None:
    before = (run / "config.yaml").read_text()

    with pytest.raises(ConfigError, match=r"resume: .*last\.ckpt holds other networks") as caught:
        train(training(datasets, run.parent, run.name, 99, "resume=last", changed))

    assert "\n" not in str(caught.value)
    assert (run / "config.yaml").read_text() == before


def test_resuming_from_a_damaged_checkpoint_is_refused_and_changes_nothing(datasets: Path, tmp_path: Path) -> None:
    run = train(training(datasets, tmp_path, "hurt", 1))
    path = run / "checkpoints" / "last.ckpt"
    path.write_bytes(path.read_bytes()[:5000])
    before = (run / "config.yaml").read_text()

    with pytest.raises(FormatError, match=r"last\.ckpt cannot be read") as caught:
        train(training(datasets, tmp_path, "hurt", 2, "resume=last"))

    assert "\n" not in str(caught.value)
    assert (run / "config.yaml").read_text() == before


@pytest.mark.slow
def test_audio_group_must_be_the_dataset_s(datasets: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"24000.*tiny.*16000"):
        train(training(datasets, tmp_path, "x", 1, "audio=24k"))


def test_unprepared_dataset_is_named_with_the_known_ones(datasets: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"dataset\.name=other is not prepared.*known: tiny.*preprocess\.py"):
        train(training(datasets, tmp_path, "x", 1, "dataset.name=other"))


@pytest.mark.slow
def test_dataset_without_held_out_clips_is_refused_before_training(tmp_path: Path) -> None:
    from tests.tools.corpus_tools import make_job, write_sounds
    from utils.corpus.pipeline import prepare_dataset

    write_sounds(tmp_path / "source", {"only.wav": voice(1.0)})
    prepare_dataset(make_job(tmp_path / "source", tmp_path / "datasets" / "tiny", "preprocess.held_out_files=0"))

    with pytest.raises(DataError, match="held out"):
        train(training(tmp_path / "datasets", tmp_path, "x", 1))


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("trainer.steps=0", "trainer.steps=0 .*at least 1"),
        ("trainer.validate_every=0", "trainer.validate_every=0 .*at least 1"),
        ("trainer.max_minutes=0", "trainer.max_minutes=0 .*at least 0.01"),
        ("trainer.max_minutes=long", "trainer.max_minutes=long must be a number"),
        ("optim.optimizer.lr=-1", "optim.optimizer: .*learning rate: -1"),
        ("data.batch_size=0", "data.batch_size=0 .*at least 1"),
        ("data.segment_frames=5", "data.segment_frames=5 .*at least 20"),
        ("data.val_segment_frames=0", "data.val_segment_frames=0 .*at least"),
        ("data.perturbed_share=1.5", "data.perturbed_share=1.5 .*between 0 and 1"),
        ("data.num_workers=-1", "data.num_workers=-1 .*at least 0"),
        ("retrieval.training_share=-0.1", "retrieval.training_share=-0.1 .*between 0 and 1"),
        ("optim.accumulate=0", "optim.accumulate=0 .*at least 1"),
        ("optim.ema_decay=1", "optim.ema_decay=1 .*between"),
        ("optim.schedule.half_life_steps=0", "optim.schedule.half_life_steps=0 .*at least"),
        ("trainer.log_every=0", "trainer.log_every=0 .*at least 1"),
        ("optim.fused=perhaps", "optim.fused=perhaps .*auto, true, false"),
        ("optim.warmup_steps=-1", "optim.warmup_steps=-1 .*at least 0"),
        ("loss.adversarial_start=-1", "loss.adversarial_start=-1 .*at least 0"),
        ("loss.adversarial_frames=-1", "loss.adversarial_frames=-1 .*at least 0"),
        ("seed=-1", "seed=-1 .*between 0"),
        ("model.sample_rate=48000", "model.sample_rate=48000 .*16000"),
        ("trainer.precision=half", "trainer.precision=half .*auto"),
        ("trainer.accelerator=abacus", "trainer.accelerator=abacus"),
        ("trainer.save_every=0", "trainer.save_every=0 .*at least 1"),
    ],
)
def test_value_out_of_range_names_key_and_what_is_allowed(
    datasets: Path, tmp_path: Path, override: str, words: str
) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        train(training(datasets, tmp_path, "x", 1, override))

    assert "\n" not in str(caught.value)
    assert not (tmp_path / "x").exists()
