"""A small adversarial training step, its batches, and what tests look at."""

from collections.abc import Sequence
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn
from torch.utils.data import DataLoader

from models.adversarial import AdversarialTraining
from models.discriminators import MultiResolutionDiscriminator
from models.toy import ToyVoice
from utils.audio.batch import VoiceBatch
from utils.training.losses import MultiResolutionMelLoss

HOP, DIM, FRAMES = 160, 4, 12


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
