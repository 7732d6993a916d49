"""The adversarial step: who gets which gradient, what a step is, averaging, accumulation, the schedule."""

import copy
import math
from collections.abc import Sequence
from typing import Any

import pytest
import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn
from torch.testing import assert_close
from torch.utils.data import DataLoader

from models.adversarial import TERMS, AdversarialTraining, micro_batches
from models.discriminators import MultiResolutionDiscriminator
from models.toy import ToyVoice
from utils.audio.batch import VoiceBatch
from utils.errors import ConfigError
from utils.training.losses import MultiResolutionMelLoss

HOP, DIM, FRAMES = 160, 4, 12
pytestmark = pytest.mark.filterwarnings("ignore:.*no .val_dataloader.*")


def batch_of(size: int, *, seed: int = 0) -> VoiceBatch:
    generator = torch.Generator().manual_seed(seed)
    return VoiceBatch(
        audio=0.1 * torch.randn(size, FRAMES * HOP, generator=generator),
        content=torch.randn(size, FRAMES, DIM, generator=generator),
        f0_hz=100 + 100 * torch.rand(size, FRAMES, generator=generator),
        loudness_db=-30 + 5 * torch.rand(size, FRAMES, generator=generator),
        speaker_id=torch.zeros(size, dtype=torch.int64),
        num_frames=torch.full((size,), FRAMES),
        segment=torch.arange(size),
    )


def sgd(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(network.parameters(), lr=0.01)


def constant(step: int) -> float:
    return 1.0


class Distance(nn.Module):
    """Mean absolute difference of each clip, so that a mean over clips is a mean over batches."""

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        return (fake - real).abs().mean(dim=1)


def make(with_discriminator: bool = True, kind: type[AdversarialTraining] = AdversarialTraining, **changed: Any) -> Any:
    torch.manual_seed(0)
    values: dict[str, Any] = {
        "generator": ToyVoice(sample_rate=16000, n_fft=640, content_dim=DIM, num_speakers=2, channels=8),
        "discriminator": MultiResolutionDiscriminator(windows=(64, 128), channels=4) if with_discriminator else None,
        "spectral_loss": MultiResolutionMelLoss(sample_rate=16000, windows=(256, 128), bands=(20, 10)),
        "validation_loss": Distance(),
        "optimizer": sgd,
        "schedule": constant,
        "loss_weights": {"spectral": 1.0, "adversarial": 1.0, "feature_matching": 0.0},
        "clip_norm": 1e9,
        "ema_decay": 0.0,
    }
    return kind(**(values | changed))


class Recorder(Callback):
    """Keeps the learning rates with which each batch was done and the names of the training metrics."""

    def __init__(self) -> None:
        self.rates: list[list[float]] = []
        self.metrics: set[str] = set()

    def on_train_batch_start(self, trainer: lightning.Trainer, *_: Any) -> None:
        self.rates.append([group["lr"] for optimizer in trainer.optimizers for group in optimizer.param_groups])

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        self.metrics |= set(trainer.callback_metrics)


def fit(module: AdversarialTraining, batches: Sequence[VoiceBatch], **changed: Any) -> Recorder:
    recorder = Recorder()
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[recorder], **changed,
    )  # fmt: skip
    trainer.fit(module, DataLoader(list(batches), batch_size=None))  # type: ignore[arg-type]
    return recorder


def weights(module: nn.Module) -> Tensor:
    return torch.cat([value.detach().reshape(-1).clone() for value in module.parameters()])


class Loose(AdversarialTraining):
    """The step without a trainer: plain backward, no logger."""

    def manual_backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        loss.backward()

    def log(self, name: str, value: Any, *args: Any, **kwargs: Any) -> None:
        self.seen = {**getattr(self, "seen", {}), name: value}

    def log_dict(self, *args: Any, **kwargs: Any) -> None:
        pass


def validated(module: AdversarialTraining, batch: VoiceBatch) -> float:
    """Return the held-out criterion of one batch."""
    module.on_validation_epoch_start()
    module.validation_step(batch, 0)
    total, count = module.validated
    return total / count


def gradients(module: nn.Module) -> list[Tensor]:
    return [value.grad for value in module.parameters() if value.grad is not None]


def test_generator_phase_leaves_no_gradient_in_the_discriminator() -> None:
    module, batch = make(kind=Loose), batch_of(2)
    discriminator = copy.deepcopy(module.discriminator)
    with torch.no_grad():
        fake = module.generator(batch)

    module.backward_all(batch, is_adversarial=True)

    # least squares by hand, over both resolutions
    real_scores, fake_scores = discriminator(batch.audio).scores, discriminator(fake).scores
    losses = [(1 - a).square().mean() + b.square().mean() for a, b in zip(real_scores, fake_scores, strict=True)]
    torch.stack(losses).mean().backward()
    assert len(gradients(discriminator)) == len(gradients(module.discriminator)) > 0
    for found, expected in zip(gradients(module.discriminator), gradients(discriminator), strict=True):
        assert_close(found, expected, atol=1e-6, rtol=1e-4)


def test_discriminator_phase_leaves_no_gradient_in_the_generator() -> None:
    nothing = dict.fromkeys(TERMS, 0.0)
    module = make(kind=Loose, loss_weights=nothing)

    module.backward_all(batch_of(2), is_adversarial=True)

    assert gradients(module.discriminator)
    assert all(float(value.abs().max()) == 0.0 for value in gradients(module.generator))


def test_generator_learns_from_the_adversary() -> None:
    only = {"spectral": 0.0, "adversarial": 1.0, "feature_matching": 0.0}
    module = make(kind=Loose, loss_weights=only)

    module.backward_all(batch_of(2), is_adversarial=True)

    assert any(float(value.abs().max()) > 0 for value in gradients(module.generator))
    assert all(parameter.requires_grad for parameter in module.discriminator.parameters())


@pytest.mark.parametrize("objective", ["balanced", "hifigan"])
@pytest.mark.parametrize("with_discriminator", [True, False])
def test_micro_batches_equal_one_batch(with_discriminator: bool, objective: str) -> None:
    weights_of_all = dict.fromkeys(TERMS, 1.0)
    values: dict[str, Any] = {"objective": objective, "loss_weights": weights_of_all}
    whole, parts = make(with_discriminator, **values), make(with_discriminator, accumulate=3, **values)
    loud = batch_of(5)
    loud.audio *= torch.tensor([0.1, 0.3, 1.0, 3.0, 10.0]).unsqueeze(1)  # micro-batches of unlike level

    first, second = whole.backward_all(loud, with_discriminator), parts.backward_all(loud, with_discriminator)

    for name in first:
        assert_close(second[name], first[name], atol=0, rtol=1e-5)
    for network in ("generator", "discriminator") if with_discriminator else ("generator",):
        found, expected = (gradients(getattr(module, network)) for module in (parts, whole))
        largest = max(float(value.abs().max()) for value in expected)
        assert largest > 0
        assert len(found) == len(expected)
        for ours, theirs in zip(found, expected, strict=True):
            assert_close(ours, theirs, atol=2e-6 * largest, rtol=1e-4)


def test_micro_batches_are_as_equal_as_can_be_and_lose_no_clip() -> None:
    batch = batch_of(5)

    parts = list(micro_batches(batch, 3))

    assert [len(part.audio) for part in parts] == [1, 2, 2]
    assert torch.equal(torch.cat([part.audio for part in parts]), batch.audio)
    assert [len(part.audio) for part in micro_batches(batch, 9)] == [1] * 5


class OutOfMemory(MultiResolutionDiscriminator):
    """A discriminator for which more than two clips at once are too many."""

    def forward(self, audio: Tensor) -> Any:
        if len(audio) > 2:
            raise torch.OutOfMemoryError("too many clips")
        return super().forward(audio)


def test_fit_memory_halves_the_micro_batch_and_keeps_the_step(caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    discriminator = OutOfMemory(windows=(64, 128), channels=4)
    module, whole = make(fit_memory=True), make()
    discriminator.load_state_dict(module.discriminator.state_dict())
    module.discriminator = discriminator

    fit(module, [batch_of(5)] * 2)
    fit(whole, [batch_of(5)] * 2)

    assert module.accumulate == 4
    assert_close(weights(module.generator), weights(whole.generator), atol=2e-6, rtol=0)
    assert "from step 0 on 4 micro-batches of at most 2 clips" in caplog.text


def test_too_little_memory_is_an_error_unless_asked_for() -> None:
    module = make(discriminator=OutOfMemory(windows=(64,), channels=2))

    with pytest.raises(torch.OutOfMemoryError):
        fit(module, [batch_of(3)])


def test_not_even_one_clip_that_fits_is_an_error() -> None:
    class Never(OutOfMemory):
        def forward(self, audio: Tensor) -> Any:
            raise torch.OutOfMemoryError("no clip at all")

    with pytest.raises(torch.OutOfMemoryError):
        fit(make(fit_memory=True, discriminator=Never(windows=(64,), channels=2)), [batch_of(3)])


def test_step_with_a_gradient_that_is_not_finite_changes_nothing_but_the_count() -> None:
    module, bad = make(ema_decay=0.9), batch_of(2)
    bad.audio[0, 5] = math.nan
    before = {name: value.clone() for name, value in module.state_dict().items()}

    fit(module, [bad])

    changed = [name for name, value in module.state_dict().items() if not torch.equal(value, before[name])]
    assert changed == ["steps_done"]
    assert (module.steps, module.skipped, module.skipped_in_a_row) == (1, 1, 1)
    fit(module, [batch_of(2)])
    assert (module.steps, module.skipped, module.skipped_in_a_row) == (2, 1, 0)
    assert not torch.equal(module.generator.output.weight, before["generator.output.weight"])


@pytest.mark.parametrize(("precision", "close"), [("bf16-mixed", 3e-2), ("16-mixed", 3e-3)])
def test_sixteen_bits_train_nearly_as_thirty_two_do(precision: str, close: float) -> None:
    whole, short = make(), make(precision=precision)

    whole.backward_all(batch_of(4), is_adversarial=True)
    short.backward_all(batch_of(4), is_adversarial=True)

    for network in ("generator", "discriminator"):
        expected, found = (
            torch.cat([value.reshape(-1) for value in gradients(getattr(module, network))]) for module in (whole, short)
        )
        assert not torch.equal(found, expected)
        assert (found - expected).norm() / expected.norm() < close


def test_each_network_has_a_loss_scale_of_its_own() -> None:
    module = make(precision="16-mixed")
    first = next(module.discriminator.parameters())
    first.register_hook(lambda gradient: gradient * math.inf)  # as if 16 bits could not hold it

    fit(module, [batch_of(2)])

    scales = {name: update.scaler.get_scale() for name, update in module.updates.items()}
    assert scales == {"generator": 65536.0, "discriminator": 32768.0}
    assert module.skipped == 1


@pytest.mark.parametrize("given", [{"spectral": 1.0}, dict.fromkeys([*TERMS, "extra"], 1.0), {}])
def test_wrong_loss_names_are_refused_naming_both_sets(given: dict[str, float]) -> None:
    with pytest.raises(ConfigError) as caught:
        make(loss_weights=given)

    assert all(name in str(caught.value) for name in [*given, *TERMS])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("with_discriminator", [True, False])
def test_steps_count_generator_updates(with_discriminator: bool) -> None:
    module = make(with_discriminator)

    fit(module, [batch_of(2)] * 3)

    assert module.steps == 3


def test_adversary_waits_for_its_start() -> None:
    before = weights(make().discriminator)
    early, late = make(adversarial_start=2), make(adversarial_start=2)

    fit(early, [batch_of(2)] * 2)
    fit(late, [batch_of(2)] * 3)

    assert_close(weights(early.discriminator), before, atol=0, rtol=0)
    assert (weights(late.discriminator) - before).abs().max().item() > 0
    assert (early.steps, late.steps) == (2, 3)


def test_first_average_is_a_third_of_the_start() -> None:
    module = make(ema_decay=0.999)
    before = weights(module.generator)

    fit(module, [batch_of(2)])

    # decay = min(0.999, (1 + 1) / (5 + 1)) after the first step
    expected = before / 3 + weights(module.generator) * 2 / 3
    assert_close(weights(module.averaged), expected, atol=1e-7, rtol=1e-5)


def test_average_never_forgets_slower_than_its_decay() -> None:
    module = make(ema_decay=0.1)
    fit(module, [batch_of(2)])
    before, fit_before = weights(module.averaged), weights(module.generator)

    fit(module, [batch_of(2, seed=1)])

    assert (weights(module.generator) - fit_before).abs().max().item() > 0
    assert_close(weights(module.averaged), 0.1 * before + 0.9 * weights(module.generator), atol=1e-7, rtol=1e-5)


def test_without_averaging_the_voice_is_the_generator() -> None:
    module = make(ema_decay=0.0)

    assert module.averaged is None
    assert module.voice is module.generator


def test_averaged_voice_is_not_trained() -> None:
    module = make(ema_decay=0.9)

    assert module.voice is module.averaged
    assert not any(parameter.requires_grad for parameter in module.averaged.parameters())


def test_schedule_changes_the_learning_rate_of_both_optimizers() -> None:
    module = make(schedule=lambda step: 1.0 / (1 + step))

    recorder = fit(module, [batch_of(2)] * 4)

    expected = [[0.01 / step] * 2 for step in (1, 2, 3, 4)]
    assert_close(torch.tensor(recorder.rates), torch.tensor(expected), atol=1e-9, rtol=0)


def test_schedule_moves_once_a_step_not_once_a_micro_batch() -> None:
    module = make(schedule=lambda step: 1.0 / (1 + step), accumulate=2)

    recorder = fit(module, [batch_of(2)] * 2)

    assert_close(torch.tensor([row[0] for row in recorder.rates]), torch.tensor([0.01, 0.005]))


def test_gradient_norm_is_clipped() -> None:
    module = make(with_discriminator=False, clip_norm=1e-3)
    before = weights(module.generator)

    fit(module, [batch_of(2)])

    # plain descent with rate 0.01 moves by rate times the norm
    assert (weights(module.generator) - before).norm().item() == pytest.approx(1e-5, rel=1e-2)


def test_metrics_have_the_names_of_the_house() -> None:
    metrics = fit(make(), [batch_of(2)]).metrics

    assert {
        "train/generator/spectral", "train/generator/adversarial", "train/generator/feature_matching",
        "train/generator/total", "train/generator/gradient_norm", "train/discriminator/total",
        "train/discriminator/gradient_norm",
    } <= metrics  # fmt: skip


def test_adversary_sees_only_its_frames() -> None:
    seen: list[int] = []

    class Watching(MultiResolutionDiscriminator):
        def forward(self, audio: Tensor) -> Any:
            seen.append(audio.shape[1])
            return super().forward(audio)

    module = make(kind=Loose, adversarial_frames=5, discriminator=Watching(windows=(64,), channels=2))

    module.backward_all(batch_of(2), is_adversarial=True)

    assert seen == [5 * HOP] * 2  # the real and the fake


def test_validation_ignores_what_is_padding() -> None:
    module, batch = make(kind=Loose), batch_of(2)
    batch.num_frames = torch.tensor([FRAMES, FRAMES // 2])
    first = validated(module, batch)
    batch.audio[1, FRAMES // 2 * HOP :] = 5.0

    second = validated(module, batch)

    assert second == first


def test_padding_does_not_make_the_validation_figure_smaller() -> None:
    module, batch = make(kind=Loose), batch_of(2)
    half = VoiceBatch(**{key: value[:1] for key, value in vars(batch).items()})
    frames = FRAMES // 2
    half.audio, half.content, half.f0_hz, half.loudness_db = (
        value[:, : value.shape[1] // 2] for value in (half.audio, half.content, half.f0_hz, half.loudness_db)
    )
    half.num_frames = torch.tensor([frames])
    whole = VoiceBatch(**{key: value[:1] for key, value in vars(batch).items()})
    whole.num_frames = torch.tensor([frames])

    alone = validated(module, half)
    padded = validated(module, whole)

    # the last frame's synthesis window reaches into what is padding
    assert padded == pytest.approx(alone, rel=0.02)
