"""The one training step of all models: generator against discriminator, with spectral losses.

Order of a step: both networks are judged at the same weights. The discriminator's gradient comes from real audio and
the detached fake, the generator's from the same fake through the frozen discriminator; then both optimizers step. So
accumulating over micro-batches equals one larger batch, but for balanced feature matching, which is relative to the
level of each micro-batch, and for what a network draws at random.
"""

import copy
import time
from collections.abc import Callable
from typing import Any, Literal, Protocol

import pytorch_lightning as lightning
import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn

from models.base import BaseVoiceConversionModel, TrainingPass
from models.discriminators import DiscriminatorOutput
from utils.audio.batch import VoiceBatch
from utils.errors import ConfigError

TERMS = ("spectral", "adversarial", "feature_matching")
Objective = Literal["balanced", "hifigan"]


class Augmentation(Protocol):
    """A change of the training batch that depends on nothing but the batch and the step."""

    def __call__(self, batch: VoiceBatch, step: int) -> VoiceBatch: ...


OptimizerFactory = Callable[[nn.Module], torch.optim.Optimizer]


class AdversarialTraining(lightning.LightningModule):
    """Train a generator; with a discriminator adversarially, without one on the spectral loss alone.

    Args:
        generator: the voice model.
        discriminator: judge of audio [B, T], or None.
        spectral_loss: module from (fake, real) [B, T] to a scalar.
        validation_loss: module from (fake, real) [B, T] to [B], the criterion that picks the checkpoint.
        optimizer: makes the optimizer of a network.
        schedule: factor of the learning rate at a step.
        loss_weights: weight of each of TERMS and of the generator's own training_terms.
        objective: "balanced" takes means over the judges' parts and feature distances relative to their level, so that
            the weights hold for any discriminator; "hifigan" takes plain sums (Kong et al. 2020), as RVC is trained.
        augmentation: changes each training batch, or None.
        accumulate: micro-batches per step.
        clip_norm: largest gradient norm of the generator.
        ema_decay: decay of the averaged generator that is validated and exported; 0 turns averaging off.
        adversarial_start: step from which the discriminator takes part.
        adversarial_frames: frames of each clip that the discriminator sees; 0 means all.
        seed: of what the generator draws at random in training; step and device count too.
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
        self.combine = torch.sum if objective == "hifigan" else torch.mean
        self.is_relative = objective == "balanced"
        self.augmentation = augmentation
        self.accumulate = accumulate
        self.clip_norm = clip_norm
        self.ema_decay = ema_decay
        self.adversarial_start = adversarial_start
        self.adversarial_frames = adversarial_frames
        self.seed = seed
        # not Lightning's batch index: a run that was stopped within an accumulation is resumed at its beginning
        self.micro_batches = 0
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

    def take_augmentation_seconds(self) -> float:
        """Return the time spent on augmentation since this was last asked."""
        seconds, self._augmentation_seconds = self._augmentation_seconds, 0.0
        return seconds

    def configure_optimizers(self) -> Any:
        """Make one optimizer and schedule per network."""
        networks = [self.generator] + ([self.discriminator] if self.discriminator is not None else [])
        optimizers = [self.make_optimizer(network) for network in networks]
        schedules = [torch.optim.lr_scheduler.LambdaLR(optimizer, self.schedule) for optimizer in optimizers]
        return optimizers, schedules

    def training_step(self, batch: VoiceBatch, batch_index: int) -> None:
        """Do one micro-batch: backward for both networks, and step both at the end of an accumulation."""
        if self.augmentation is not None:
            started = time.perf_counter()
            batch = self.augmentation(batch, self.steps * self.accumulate + self.micro_batches)
            self._augmentation_seconds += time.perf_counter() - started
        metrics: dict[str, Tensor] = {}
        made = self.generator.training_pass(batch, self._draws())
        is_adversarial = self.discriminator is not None and self.steps >= self.adversarial_start
        start, stop = self._judged_part(made.audio.shape[1])
        real_output = None
        if is_adversarial:
            real, judged = made.target[:, start:stop], made.audio[:, start:stop].detach()
            real_output = self._discriminator_backward(real, judged, metrics)
        self._generator_backward(made, (start, stop), real_output, metrics)
        self.micro_batches += 1
        if self.micro_batches == self.accumulate:
            self._update(is_adversarial)
            self.micro_batches = 0
        shown = {f"train/{name}": value for name, value in metrics.items()}
        # "step" is the logger's axis: generator updates, where Lightning would count micro-batches
        self.log_dict({**shown, "step": float(self.steps)}, batch_size=len(batch.audio))

    def validation_step(self, batch: VoiceBatch, batch_index: int) -> None:
        """Log val/mel, the mean log-mel distance of held-out clips rebuilt by the averaged generator."""
        fake = self.voice(batch)
        hop = self.generator.hop_length
        samples = torch.arange(batch.audio.shape[1], device=fake.device)
        inside = (samples[None, :] < (batch.num_frames * hop)[:, None]).to(fake.dtype)
        # the criterion is a mean over all frames; padding, where both are silent, must not make it smaller
        share = batch.num_frames / batch.f0_hz.shape[1]
        distance = self.validation_loss(fake * inside, batch.audio * inside) / share
        self.log("val/mel", distance.mean(), batch_size=len(batch.audio), sync_dist=True)
        self.log("step", float(self.steps), batch_size=len(batch.audio), sync_dist=True)

    def _draws(self) -> torch.Generator:
        """Return the source of the generator's random numbers for this micro-batch; a resumed run sees the same."""
        micro_batch = self.steps * self.accumulate + self.micro_batches
        return torch.Generator().manual_seed((self.seed * 1_000_003 + micro_batch) * 1009 + self.global_rank)

    def _judged_part(self, samples: int) -> tuple[int, int]:
        hop = self.generator.hop_length
        frames = samples // hop
        if not 0 < self.adversarial_frames < frames:
            return 0, samples
        generator = torch.Generator().manual_seed(7919 + self.steps)
        first = int(torch.randint(frames - self.adversarial_frames + 1, (1,), generator=generator))
        return first * hop, (first + self.adversarial_frames) * hop

    def _discriminator_backward(self, real: Tensor, fake: Tensor, metrics: dict[str, Tensor]) -> DiscriminatorOutput:
        assert self.discriminator is not None
        output: DiscriminatorOutput = self.discriminator(torch.cat([real, fake]))
        halves = [score.float().chunk(2) for score in output.scores]
        # least squares, Mao et al. 2017
        losses = [(1 - real_score).square().mean() + fake_score.square().mean() for real_score, fake_score in halves]
        total = self.combine(torch.stack(losses))
        self.manual_backward(total / self.accumulate)
        metrics["discriminator/total"] = total.detach()
        count = len(real)
        features = [[layer[:count].detach() for layer in layers] for layers in output.features]
        return DiscriminatorOutput([real_score.detach() for real_score, _ in halves], features)

    def _generator_backward(
        self,
        made: TrainingPass,
        part: tuple[int, int],
        real_output: DiscriminatorOutput | None,
        metrics: dict[str, Tensor],
    ) -> None:
        terms = {"spectral": self.spectral_loss(made.audio, made.target), **made.terms}
        if real_output is not None:
            terms |= self._adversarial_terms(made.audio[:, part[0] : part[1]], real_output)
        total = torch.stack([self.loss_weights[name] * value for name, value in terms.items()]).sum()
        self.manual_backward(total / self.accumulate)
        metrics |= {f"generator/{name}": value.detach() for name, value in terms.items()}
        metrics["generator/total"] = total.detach()

    def _adversarial_terms(self, fake: Tensor, real_output: DiscriminatorOutput) -> dict[str, Tensor]:
        assert self.discriminator is not None
        # frozen: otherwise the generator's loss would leave gradients in the discriminator
        self.discriminator.requires_grad_(False)
        output: DiscriminatorOutput = self.discriminator(fake)
        self.discriminator.requires_grad_(True)
        scores = self.combine(torch.stack([(1 - score.float()).square().mean() for score in output.scores]))
        distances = [
            self._feature_distance(fake_layer.float(), real_layer.float())
            for fake_part, real_part in zip(output.features, real_output.features, strict=True)
            for fake_layer, real_layer in zip(fake_part, real_part, strict=True)
        ]
        return {"adversarial": scores, "feature_matching": self.combine(torch.stack(distances))}

    def _feature_distance(self, fake: Tensor, real: Tensor) -> Tensor:
        distance = (fake - real).abs().mean()
        return distance / (real.abs().mean() + 1e-3) if self.is_relative else distance

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the generator's gradient: only here has a 16-bit training's scale been taken out of it."""
        if optimizer is self._optimizers()[0].optimizer:
            norm = torch.nn.utils.clip_grad_norm_(self.generator.parameters(), self.clip_norm)
            self.log("train/generator/gradient_norm", norm)

    def _optimizers(self) -> list[LightningOptimizer]:
        found = self.optimizers()
        return found if isinstance(found, list) else [found]

    def _schedules(self) -> list[torch.optim.lr_scheduler.LRScheduler]:
        found = self.lr_schedulers()
        assert found is not None  # configure_optimizers gives each optimizer one
        return found if isinstance(found, list) else [found]

    def _update(self, is_adversarial: bool) -> None:
        for index, (optimizer, schedule) in enumerate(zip(self._optimizers(), self._schedules(), strict=True)):
            if index == 0 or is_adversarial:
                optimizer.step()
                schedule.step()
            optimizer.zero_grad()
        self.steps_done += 1
        self._average()

    @torch.no_grad()
    def _average(self) -> None:
        if self.averaged is None:
            return
        decay = min(self.ema_decay, (1 + self.steps) / (10 + self.steps))
        for mean, value in zip(self.averaged.parameters(), self.generator.parameters(), strict=True):
            mean.lerp_(value, 1 - decay)
        for table, current in zip(self.averaged.buffers(), self.generator.buffers(), strict=True):
            table.copy_(current)
