"""The one training step of all models: generator against discriminator, with spectral losses.

A step has three parts, in `training_step` and what it calls:

1. The generator makes fake audio of the batch; the discriminator scores real and fake, each once.
2. The discriminator's own loss goes backwards through its weights. What it says of the fake becomes a gradient of the
   fake audio, which goes backwards through the generator together with the spectral loss (`adversarial_surrogate`).
3. Both optimizers step, the generator's first. So both gradients belong to the same weights.

Every loss is a mean over clips, and random numbers are made clip by clip. So a step is the same, up to the order of
sums, however its clips are spread over micro-batches and devices.
"""

import copy
import logging
import math
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import pytorch_lightning as lightning
import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

from models.adversarial_losses import AdversarialLosses, Objective
from models.base import BaseVoiceConversionModel
from models.clip_random import ClipRandom
from models.discriminators import DiscriminatorOutput
from models.layers.weight_norm import cached_weights
from models.layers.widest_float import widest_float
from models.updating import AUTOCAST, NetworkUpdate, copy_from_first_device, mean_over_devices, reduce_over_devices
from utils.audio.batch import VoiceBatch
from utils.errors import ConfigError

# 16-bit gradients between the discriminator and the audio are carried times this: most would be too small for a half
AUDIO_GRADIENT_SCALE = 1024.0
TERMS = ("spectral", "adversarial", "feature_matching")
STATE_KEY = "adversarial_training"  # of our own state in a checkpoint
log = logging.getLogger(__name__)


class Augmentation(Protocol):
    """A change of a training batch in which each clip depends on itself and the number of its segment alone."""

    def __call__(self, batch: VoiceBatch) -> VoiceBatch: ...


OptimizerFactory = Callable[[nn.Module], torch.optim.Optimizer]


class AdversarialTraining(lightning.LightningModule):
    """Train a generator; with a discriminator adversarially, without one on the spectral loss alone.

    Args:
        generator: the voice model.
        discriminator: module from audio [B, T] to a DiscriminatorOutput, or None.
        spectral_loss: module from (fake, real) [B, T] to a scalar.
        validation_loss: module from (fake, real) [B, T] to [B], the criterion that picks the checkpoint.
        optimizer: makes the optimizer of a network.
        schedule: factor of the learning rate at a step.
        loss_weights: weight of each of TERMS and of the generator's own training_terms.
        objective: how the terms of the discriminator count, see AdversarialLosses.
        augmentation: changes each training batch, or None.
        accumulate: micro-batches per step; the batch of a step is cut into so many.
        clip_norm: largest gradient norm of the generator.
        precision: "32-true", "bf16-mixed" or "16-mixed"; losses and spectra are always computed in 32 bits.
        fit_memory: when the device's memory does not suffice, double the micro-batches and do the step again.
        ema_decay: decay of the averaged generator that is validated and exported; 0 turns averaging off.
        adversarial_start: step from which the discriminator takes part.
        adversarial_frames: frames of each clip that the discriminator sees; 0 means all.
        seed: of the random numbers of the generator in training, see ClipRandom.
    """

    def __init__(
        self,
        *,
        generator: BaseVoiceConversionModel,
        discriminator: nn.Module | None,
        spectral_loss: nn.Module,
        validation_loss: nn.Module,
        optimizer: OptimizerFactory,
        schedule: Callable[[int], float],
        loss_weights: dict[str, float],
        objective: Objective = "balanced",
        augmentation: Augmentation | None = None,
        accumulate: int = 1,
        clip_norm: float = 10.0,
        precision: str = "32-true",
        fit_memory: bool = False,
        ema_decay: float = 0.999,
        adversarial_start: int = 0,
        adversarial_frames: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        needed = {*TERMS, *generator.training_terms}
        if set(loss_weights) != needed:
            raise ConfigError(f"loss.weights names {sorted(loss_weights)}; allowed and needed: {sorted(needed)}")
        self.automatic_optimization = False
        self.generator = generator
        self.discriminator = discriminator
        self.averaged = copy.deepcopy(generator).requires_grad_(False) if ema_decay > 0 else None
        self.spectral_loss = spectral_loss
        self.validation_loss = validation_loss
        self.make_optimizer = optimizer
        self.schedule = schedule
        self.loss_weights = loss_weights
        self.losses = AdversarialLosses(objective)
        self.augmentation = augmentation
        self.accumulate = accumulate
        self.clip_norm = clip_norm
        self.ema_decay = ema_decay
        self.adversarial_start = adversarial_start
        self.adversarial_frames = adversarial_frames
        self.seed = seed
        self.precision = precision
        self.fit_memory = fit_memory
        self.skipped = self.skipped_in_a_row = 0
        self.updates: dict[str, NetworkUpdate] = {}
        self.restored: dict[str, Any] = {}
        self.validated = (0.0, 0)  # sum of the criterion and number of clips
        self._augmentation_seconds = 0.0
        self.register_buffer("steps_done", torch.zeros((), dtype=torch.int64))
        self.steps_done: Tensor

    @property
    def steps(self) -> int:
        """Generator updates done; the unit of progress everywhere."""
        return int(self.steps_done)

    @property
    def voice(self) -> BaseVoiceConversionModel:
        """The generator to listen to, validate and export."""
        return self.averaged if self.averaged is not None else self.generator

    def training_step(self, batch: VoiceBatch, batch_index: int) -> None:
        """Do one step with this device's share of its clips."""
        if self.augmentation is not None:
            started = time.perf_counter()
            batch = self.augmentation(batch)
            self._augmentation_seconds += time.perf_counter() - started
        is_adversarial = self.discriminator is not None and self.steps >= self.adversarial_start
        metrics = mean_over_devices(self.backward_within_memory(batch, is_adversarial))
        metrics |= self._update(is_adversarial)
        metrics["skipped_updates"] = torch.tensor(float(self.skipped))
        shown = {f"train/{name}": value for name, value in metrics.items()}
        # "step" is the logger's axis: generator updates, where Lightning would count batches
        self.log_dict({**shown, "step": float(self.steps)}, batch_size=len(batch.audio))

    def backward_within_memory(self, batch: VoiceBatch, is_adversarial: bool) -> dict[str, Tensor]:
        """Leave the step's gradients in the networks; with fit_memory in as many micro-batches as memory asks for."""
        while True:
            is_short = torch.zeros((), device=batch.audio.device)
            metrics: dict[str, Tensor] = {}
            try:
                metrics = self.backward_all(batch, is_adversarial)
            except torch.OutOfMemoryError:
                if not self.fit_memory or self.accumulate >= len(batch.audio):
                    raise
                is_short += 1
            if not self.fit_memory or not reduce_over_devices(is_short):
                return metrics
            for parameter in self.parameters():
                parameter.grad = None
            self.accumulate = min(2 * self.accumulate, len(batch.audio))
            if self.global_rank == 0:
                log.warning(
                    "memory does not suffice: from step %d on %d micro-batches of at most %d clips (the batch stays %d "
                    "clips per device)",
                    self.steps, self.accumulate, math.ceil(len(batch.audio) / self.accumulate), len(batch.audio),
                )  # fmt: skip

    def backward_all(self, batch: VoiceBatch, is_adversarial: bool) -> dict[str, Tensor]:
        """Run all micro-batches forwards and backwards; return the means of their losses by name."""
        metrics: dict[str, Tensor] = {}
        for part in micro_batches(batch, self.accumulate):
            share = len(part.audio) / len(batch.audio)
            for name, value in self._backward_part(part, share, is_adversarial).items():
                metrics[name] = metrics.get(name, 0.0) + share * value
        return metrics

    def _backward_part(self, batch: VoiceBatch, share: float, is_adversarial: bool) -> dict[str, Tensor]:
        """Add the gradients of a micro-batch, which is a share of the batch, to both networks; return its losses."""
        metrics: dict[str, Tensor] = {}
        with self._autocast(batch.audio.device):
            made = self.generator.training_pass(batch, ClipRandom(self.seed, batch.segment.tolist()))
        adversarial_surrogate = None
        if is_adversarial:
            stretch = slice(*self._adversarial_stretch(made.audio.shape[1]))
            adversarial_surrogate, metrics = self.discriminator_backward(
                made.target[:, stretch], made.audio[:, stretch], share
            )
        with self._autocast(batch.audio.device):
            terms = {"spectral": self.spectral_loss(made.audio, made.target), **made.terms}
        total = torch.stack([self.loss_weights[name] * value.float() for name, value in terms.items()]).sum()
        total = total + adversarial_surrogate if adversarial_surrogate is not None else total
        self._scaled("generator", share * total).backward()
        metrics |= {f"generator/{name}": value.detach() for name, value in terms.items()}
        return metrics | {"generator/total": total.detach()}

    def discriminator_backward(self, real: Tensor, fake: Tensor, share: float) -> tuple[Tensor, dict[str, Tensor]]:
        """Add the gradient of the discriminator's own loss to its weights; return what it means for the generator.

        Args:
            real: [B, T].
            fake: [B, T] with the graph of the generator.
            share: of the batch that these clips are.
        Returns:
            The adversarial surrogate, a scalar that has the value and the gradient of the generator's adversarial terms
            but not their graph; and the losses by name.
        """
        assert self.discriminator is not None
        fake_leaf = fake.detach().requires_grad_()
        with self._autocast(real.device), cached_weights(self.discriminator):
            # two passes: so the gradient of the audio is asked of the fake alone
            of_real: DiscriminatorOutput = self.discriminator(real)
            of_fake: DiscriminatorOutput = self.discriminator(fake_leaf)
            terms = self.losses.of_generator(of_real, of_fake)
            own = self.losses.of_discriminator(of_real, of_fake)
        total = torch.stack([self.loss_weights[name] * value for name, value in terms.items()]).sum()
        # of the audio alone: the generator's loss must leave no gradient in the discriminator
        (scaled,) = torch.autograd.grad(AUDIO_GRADIENT_SCALE * total, fake_leaf, retain_graph=True)
        self._scaled("discriminator", share * own).backward(inputs=list(self.discriminator.parameters()))
        gradient = scaled.float() / AUDIO_GRADIENT_SCALE
        surrogate = total.detach() + (gradient * (fake.float() - fake_leaf.detach().float())).sum()
        metrics = {f"generator/{name}": value.detach() for name, value in terms.items()}
        return surrogate, metrics | {"discriminator/total": own.detach()}

    def _adversarial_stretch(self, samples: int) -> tuple[int, int]:
        """Return first sample and end of what the discriminator sees of clips of so many samples in this step."""
        hop = self.generator.hop_length
        frames = samples // hop
        if not 0 < self.adversarial_frames < frames:
            return 0, samples
        generator = torch.Generator().manual_seed(7919 + self.steps)
        first = int(torch.randint(frames - self.adversarial_frames + 1, (1,), generator=generator))
        return first * hop, (first + self.adversarial_frames) * hop

    def _update(self, is_adversarial: bool) -> dict[str, Tensor]:
        """Step both networks, or neither where a gradient is not finite; return the gradients' norms."""
        taking_part = {name: update for name, update in self.updates.items() if name == "generator" or is_adversarial}
        norms = {f"{name}/gradient_norm": update.prepare() for name, update in taking_part.items()}
        is_finite = bool(torch.isfinite(torch.stack(list(norms.values()))).all())
        if is_finite:
            for update in taking_part.values():
                update.step()
        for update in taking_part.values():
            update.finish()
        self.steps_done += 1
        self.skipped_in_a_row = 0 if is_finite else self.skipped_in_a_row + 1
        if is_finite:
            self._average()
        else:
            self.skipped += 1
            # at 1, 2, 4, 8 .. so that the log of a weekend stays readable; train/skipped_updates has them all
            if self.global_rank == 0 and self.skipped & (self.skipped - 1) == 0:
                log.warning("update %d was skipped: its gradient is not finite (%d so far)", self.steps, self.skipped)
        return norms

    @torch.no_grad()
    def _average(self) -> None:
        if self.averaged is None:
            return
        # about the latest quarter of a short training; measured from the base voice:
        # benchmarks/results/fine_tune_settings_2core-avx512_2026-11-22.md
        decay = min(self.ema_decay, (1 + self.steps) / (5 + self.steps))
        torch._foreach_lerp_(list(self.averaged.parameters()), list(self.generator.parameters()), 1 - decay)
        for table, current in zip(self.averaged.buffers(), self.generator.buffers(), strict=True):
            table.copy_(current)

    def on_validation_epoch_start(self) -> None:
        """Begin a new mean."""
        self.validated = (0.0, 0)

    def validation_step(self, batch: VoiceBatch, batch_index: int) -> None:
        """Add up the log-mel distances of what the averaged generator rebuilds of held-out clips."""
        with self._autocast(batch.audio.device):
            fake = self.voice(batch)
        distance = distance_without_padding(self.validation_loss, fake, batch, self.generator.hop_length)
        total = float(distance.detach().to(widest_float(distance.device)).sum())
        self.validated = (self.validated[0] + total, self.validated[1] + len(distance))

    def on_validation_epoch_end(self) -> None:
        """Log val/mel, the mean over all held-out clips of all devices."""
        sums = reduce_over_devices(torch.tensor(self.validated, dtype=widest_float(self.device), device=self.device))
        # already the same everywhere; Lightning wants to be told to reduce it
        self.log("val/mel", (sums[0] / sums[1]).float(), prog_bar=True, sync_dist=True)
        self.log("step", float(self.steps), sync_dist=True)

    def configure_optimizers(self) -> Any:
        """Make one optimizer and schedule per network."""
        networks = [self.generator] + ([self.discriminator] if self.discriminator is not None else [])
        optimizers = [self.make_optimizer(network) for network in networks]
        schedules = [torch.optim.lr_scheduler.LambdaLR(optimizer, self.schedule) for optimizer in optimizers]
        return optimizers, schedules

    def on_fit_start(self) -> None:
        """Join each network with its optimizer; every device begins with the first one's weights."""
        copy_from_first_device(self)
        networks = {"generator": self.generator, "discriminator": self.discriminator}
        names = [name for name, network in networks.items() if network is not None]
        limits = {"generator": self.clip_norm, "discriminator": math.inf}
        for name, optimizer, schedule in zip(names, self._optimizers(), self._schedules(), strict=True):
            scaler = GradScaler(self.device.type, enabled=self.precision == "16-mixed")
            scaler.load_state_dict(self.restored.get("scalers", {}).get(name, scaler.state_dict()))
            network = networks[name]
            assert network is not None
            self.updates[name] = NetworkUpdate(network, optimizer, schedule, clip_norm=limits[name], scaler=scaler)

    def on_train_start(self) -> None:
        """Give the optimizers the hyper-parameters of the configuration where a resumed state brought others."""
        for update in self.updates.values():
            update.take_settings(self.make_optimizer(update.network))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what Lightning does not know of."""
        checkpoint[STATE_KEY] = {
            "accumulate": self.accumulate,
            "skipped": self.skipped,
            "skipped_in_a_row": self.skipped_in_a_row,
            "scalers": {name: update.scaler.state_dict() for name, update in self.updates.items()},
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take back what on_save_checkpoint added."""
        self.restored = checkpoint.get(STATE_KEY, {})
        self.skipped = int(self.restored.get("skipped", 0))
        self.skipped_in_a_row = int(self.restored.get("skipped_in_a_row", 0))
        if self.fit_memory:
            self.accumulate = max(self.accumulate, int(self.restored.get("accumulate", 1)))

    def take_augmentation_seconds(self) -> float:
        """Return the time spent on augmentation since this was last asked."""
        seconds, self._augmentation_seconds = self._augmentation_seconds, 0.0
        return seconds

    def _autocast(self, device: torch.device) -> torch.autocast:
        dtype = AUTOCAST[self.precision]
        return torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)

    def _scaled(self, name: str, loss: Tensor) -> Tensor:
        update = self.updates.get(name)
        return update.scaler.scale(loss) if update is not None else loss

    def _optimizers(self) -> list[torch.optim.Optimizer]:
        found = self.optimizers(use_pl_optimizer=False)
        return found if isinstance(found, list) else [found]

    def _schedules(self) -> list[torch.optim.lr_scheduler.LRScheduler]:
        found = self.lr_schedulers()
        assert found is not None  # configure_optimizers gives each optimizer one
        return found if isinstance(found, list) else [found]


def distance_without_padding(criterion: nn.Module, fake: Tensor, batch: VoiceBatch, hop_length: int) -> Tensor:
    """Return [B] distances of rebuilt clips from a batch.

    Args:
        criterion: from (fake, real) [B, T] to [B], a mean over all frames.
        fake: [B, T], what was rebuilt of the batch.
        batch: the clips; padding, where both are silent then, must not make a distance smaller.
        hop_length: samples of a frame.
    """
    samples = torch.arange(batch.audio.shape[1], device=fake.device)
    inside = (samples[None, :] < (batch.num_frames * hop_length)[:, None]).to(fake.dtype)
    share = batch.num_frames / batch.f0_hz.shape[1]
    distance: Tensor = criterion(fake * inside, batch.audio * inside) / share
    return distance


def micro_batches(batch: VoiceBatch, count: int) -> Iterator[VoiceBatch]:
    """Cut a batch into `count` parts of as equal size as can be; fewer where it has fewer clips."""
    clips = len(batch.audio)
    count = min(count, clips)
    for index in range(count):
        yield batch.part(slice(index * clips // count, (index + 1) * clips // count))
