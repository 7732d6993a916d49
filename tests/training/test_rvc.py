"""RVC's recipe through the one training step: its terms and sums, its rate, two updates and a resume."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from models.adversarial import AdversarialTraining
from models.base import BaseVoiceConversionModel, TrainingPass
from models.clip_random import ClipRandom
from models.discriminators import DiscriminatorOutput
from tests.tools.corpus_tools import make_job, write_sounds
from tests.tools.model_tools import SMALL_RVC
from utils.audio.batch import VoiceBatch
from utils.audio.synthetic_speech import voice
from utils.config.train import TrainJob, train_job
from utils.corpus.pipeline import prepare_dataset
from utils.corpus.store import CorpusStore
from utils.errors import ConfigError
from utils.training.assembly import learning_rate_factor, steps_per_epoch
from utils.training.checkpoints import load_voice, read_checkpoint
from utils.training.fit import train

HOP = 320
RECIPE = {"spectral": 45.0, "adversarial": 1.0, "feature_matching": 2.0, "kl": 1.0}


class Part(BaseVoiceConversionModel):
    """Generates one number times half of the batch and has a loss of its own."""

    training_terms = ("kl",)

    def __init__(self) -> None:
        super().__init__(sample_rate=16000, content_dim=4, num_speakers=1)
        self.level = nn.Parameter(torch.tensor(0.5))

    def inference(self, content: Tensor, f0_hz: Tensor, loudness_db: Tensor, speaker_id: Tensor) -> Tensor:
        raise AssertionError("training does not convert")

    def training_pass(self, batch: VoiceBatch, clip_random: ClipRandom) -> TrainingPass:
        self.drawn = clip_random.uniform().item()
        target = batch.audio[:, :320]
        return TrainingPass(self.level * target, target, {"kl": 3.0 * self.level})


class TwoDiscriminators(nn.Module):
    """Scores and features that are multiples of the audio."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(1.0))
        self.seen: list[int] = []

    def forward(self, audio: Tensor) -> DiscriminatorOutput:
        self.seen.append(audio.shape[1])
        scores = [self.gain * audio, 2 * self.gain * audio]
        return DiscriminatorOutput(scores, [[score] for score in scores])


class Distance(nn.Module):
    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        return (fake - real).abs().mean()


def make(**changed: Any) -> AdversarialTraining:
    values: dict[str, Any] = {
        "generator": Part(), "discriminator": TwoDiscriminators(),
        "spectral_loss": Distance(), "validation_loss": Distance(),
        "optimizer": lambda network: torch.optim.SGD(network.parameters(), lr=0.1), "schedule": lambda step: 1.0,
        "loss_weights": RECIPE, "objective": "hifigan", "ema_decay": 0.0,
    }  # fmt: skip
    return AdversarialTraining(**(values | changed))


def batch_of_ones() -> VoiceBatch:
    frames = torch.ones(1, 4)
    zero = torch.zeros(1, dtype=torch.int64)
    return VoiceBatch(torch.ones(1, 640), torch.ones(1, 4, 4), frames, frames, zero, torch.tensor([4]), zero)


def test_published_objective_is_the_sum_over_judges_and_layers() -> None:
    metrics = make().backward_all(batch_of_ones(), is_adversarial=True)

    # real 1 and 2, fake 0.5 and 1
    assert metrics["generator/adversarial"].item() == pytest.approx(0.5**2 + 0.0)
    assert metrics["generator/feature_matching"].item() == pytest.approx(0.5 + 1.0)
    assert metrics["discriminator/total"].item() == pytest.approx((0 + 0.25) + (1 + 1))
    assert metrics["generator/kl"].item() == pytest.approx(1.5)
    assert metrics["generator/total"].item() == pytest.approx(45 * 0.5 + 0.25 + 2 * 1.5 + 1.5)


def test_judges_see_the_part_that_was_generated() -> None:
    module = make()

    module.backward_all(batch_of_ones(), is_adversarial=True)

    assert isinstance(module.discriminator, TwoDiscriminators)
    assert module.discriminator.seen == [320] * 2  # the real and the fake


def test_own_loss_reaches_the_generator() -> None:
    only = {**dict.fromkeys(RECIPE, 0.0), "kl": 2.0}
    module = make(loss_weights=only)

    module.backward_all(batch_of_ones(), is_adversarial=True)

    assert isinstance(module.generator, Part) and module.generator.level.grad is not None
    assert module.generator.level.grad.item() == pytest.approx(2.0 * 3.0)


def test_missing_weight_of_an_own_loss_is_refused() -> None:
    with pytest.raises(ConfigError, match="kl"):
        make(loss_weights={name: value for name, value in RECIPE.items() if name != "kl"})


def test_random_numbers_of_a_network_follow_seed_and_clip_alone() -> None:
    drawn: list[float] = []
    for seed, clip in ((1, 0), (1, 0), (2, 0), (1, 1)):
        generator, batch = Part(), batch_of_ones()
        batch.segment += clip
        make(seed=seed, generator=generator).backward_all(batch, is_adversarial=True)
        drawn.append(generator.drawn)

    assert drawn[0] == drawn[1]
    assert len(set(drawn)) == 3


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two speakers, prepared as RVC analyses 32 kHz."""
    root = tmp_path_factory.mktemp("data")
    sounds = {
        f"{speaker}/{index}.wav": voice(1.2, seed=index, f0_hz=f0_hz)
        for speaker, f0_hz in (("anna", 190.0), ("bert", 110.0))
        for index in range(3)
    }
    write_sounds(root / "source", sounds)
    prepare_dataset(make_job(root / "source", root / "datasets" / "tiny", "audio=rvc_32k"))
    return root / "datasets"


def small_run(datasets: Path, runs: Path, steps: int, *overrides: str) -> TrainJob:
    return train_job(
        [
            "experiment=rvc_v2_32k", *SMALL_RVC, "discriminator.channels=64", "discriminator.periods=[2,3]",
            "dataset.name=tiny", f"dataset.root={datasets}", f"run.root={runs}", "run.name=rvc", "data.batch_size=2",
            "data.segment_frames=40", "data.val_segment_frames=60", "retrieval.codebook_size=0",
            f"trainer.steps={steps}", f"trainer.validate_every={steps}", "trainer.precision=32-true",
            "trainer.accelerator=cpu", "trainer.progress_bar=false", "trainer.media=false", *overrides,
        ],
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("pitch", ["true", "false"])
def test_two_updates_change_every_network_and_the_voice_converts(datasets: Path, tmp_path: Path, pitch: str) -> None:
    run = train(small_run(datasets, tmp_path, 2, f"model.use_f0={pitch}"))

    state = read_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"]
    assert int(state["steps_done"]) == 2
    assert all(bool(torch.isfinite(value).all()) for value in state.values())
    # biases of zero at the start have moved in each part
    for name in ("generator.flow.flows.0.post.bias", "generator.flow.flows.6.post.bias"):
        assert state[name].abs().max().item() > 0
    converted = load_voice(run).converter(
        torch.from_numpy(voice(0.3, 32000))[None], *(torch.tensor(value) for value in (0.0, 0, 0.0, 0.33, 1.0))
    )
    assert converted.shape == (1, 9600)


@pytest.mark.slow
def test_resumed_run_equals_the_uninterrupted_one(datasets: Path, tmp_path: Path) -> None:
    whole = train(small_run(datasets, tmp_path / "whole", 3))
    train(small_run(datasets, tmp_path / "cut", 1))

    resumed = train(small_run(datasets, tmp_path / "cut", 3, "resume=last"))

    first, second = (read_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"] for run in (whole, resumed))
    different = [name for name in first if not torch.equal(first[name], second[name])]
    assert not different


def test_learning_rate_falls_once_an_epoch(datasets: Path, tmp_path: Path) -> None:
    job = small_run(datasets, tmp_path, 1)
    epoch = steps_per_epoch(job, CorpusStore.open(datasets / "tiny"))
    factor = learning_rate_factor(job, epoch)

    rates = torch.tensor([factor(step) for step in (0, epoch - 1, epoch, 2 * epoch)], dtype=torch.float64)

    assert_close(rates, torch.tensor([1.0, 1.0, 0.999875, 0.999875**2], dtype=torch.float64), atol=1e-12, rtol=0)
    # 4 clips of training, at least 1.2 s each, in batches of 2 segments of 0.4 s
    assert epoch >= 4 * 1.2 / 0.8
