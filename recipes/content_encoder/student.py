"""The student while it learns: network, classifier of units beside it, losses, optimizer and checkpoint."""

import math
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from recipes.content_encoder.examples import IGNORED, Batch, ContentExamples, as_float
from recipes.content_encoder.target_space import TargetSpace
from utils.errors import ConfigError, FormatError
from utils.features.content.network import ContentNetwork
from utils.files import atomic_write
from utils.training.checkpoints import read_plain
from utils.training.devices import has_native_bf16

LOSS_WEIGHTS = {"cosine": 1.0, "error": 0.1, "mean": 2.0, "unit": 0.1}
LEARNING_RATE = 2e-4
OLDER_RATE = 5e-4  # of checkpoints that do not say theirs
WARMUP_STEPS = 100
SHORT_SHARE = 0.25  # part of the updates in which no layer sees a later frame


@dataclass(frozen=True)
class StudentSizes:
    """Sizes of the student: see ContentNetwork, and how many units the classifier beside it tells apart."""

    channels: int = 288
    num_layers: int = 6
    num_heads: int = 8
    rotary_dim: int = 32
    past: int = 64
    future: int = 64
    dim: int = 256
    num_units: int = 512

    def build(self) -> ContentNetwork:
        """Make the network."""
        return ContentNetwork(**{name: value for name, value in asdict(self).items() if name != "num_units"})


class Validation(NamedTuple):
    """Figures on the held-out speakers, each the mean over clips.

    Attributes:
        cosine: between output and target frames.
        unit_accuracy: part of the frames whose unit the classifier names.
        mean_distance: length of the difference between the clip's mean output and mean target.
    """

    cosine: float
    unit_accuracy: float
    mean_distance: float


def losses(output: Tensor, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
    """Return the unweighted losses.

    Args:
        output: [B, F, D] of the network, any length.
        logits: [B, F, K] over the units.
        batch: targets and units.
    """
    keep = (batch.unit != IGNORED).float()
    direction = functional.normalize(output, dim=-1)
    cosine = ((1 - (direction * batch.target).sum(dim=-1)) * keep).sum() / keep.sum()
    # components of unit variance on average, as the finished encoder gives them
    scaled = output / math.sqrt(output.shape[-1])
    error = ((scaled - batch.target).square().sum(dim=-1) * keep).sum() / keep.sum()
    # what is constant over an utterance is mostly the speaker: the student may add nothing of its own to it
    drift = ((direction - batch.target) * keep[..., None]).sum(dim=1) / keep.sum(dim=1, keepdim=True)
    unit = functional.cross_entropy(logits.flatten(0, 1), batch.unit.flatten(), ignore_index=IGNORED)
    return {"cosine": cosine, "error": error, "mean": drift.square().sum(dim=-1).mean(), "unit": unit}


def learning_rate(step: int, num_steps: int) -> float:
    """Return the share of the highest rate in a step: linear start, then half a cosine down to a fiftieth."""
    cosine = 0.5 * (1 + math.cos(math.pi * step / num_steps))
    return min(1.0, (step + 1) / WARMUP_STEPS) * (0.98 * cosine + 0.02)


class Distillation:
    """The student, the classifier of units beside it and their optimizer.

    Args:
        sizes: of the student.
        num_steps: updates of the whole training; sets the learning rate's schedule.
        seed: seed of the first weights.
        rate: highest learning rate.
        start: SHA-256 of the encoder that it began with; empty for the teacher's weights or none.
        features: what names the teacher's features that it learns from.
    """

    def __init__(
        self,
        sizes: StudentSizes,
        *,
        num_steps: int,
        seed: int = 0,
        rate: float = LEARNING_RATE,
        start: str = "",
        features: str = "",
    ) -> None:
        self.start, self.features = start, features
        self.sizes, self.num_steps, self.seed, self.step, self.rate = sizes, num_steps, seed, 0, rate
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = sizes.build()
            self.classifier = nn.Linear(sizes.channels, sizes.num_units)
        parameters = [*self.network.parameters(), *self.classifier.parameters()]
        self._optimizer = torch.optim.AdamW(parameters, rate, betas=(0.9, 0.98), weight_decay=0.02)

    def update(self, batch: Batch) -> dict[str, float]:
        """Make one step; returns the unweighted losses."""
        for group in self._optimizer.param_groups:
            group["lr"] = self.rate * learning_rate(self.step, self.num_steps)
        is_short = np.random.default_rng([self.seed, self.step]).random() < SHORT_SHARE
        # a processor without instructions for bf16 is fifty times slower with it than in 32 bits
        with torch.autocast("cpu", torch.bfloat16, enabled=has_native_bf16()):
            hidden = self.network.hidden(batch.audio, future=0 if is_short else None)
            output, logits = self.network.head(hidden), self.classifier(hidden)
        parts = losses(output.float(), logits.float(), batch)
        self._optimizer.zero_grad()
        torch.stack([LOSS_WEIGHTS[name] * value for name, value in parts.items()]).sum().backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self._optimizer.step()
        self.step += 1
        return {name: value.item() for name, value in parts.items()}

    @torch.no_grad()
    def validate(self, examples: ContentExamples, *, future: int | None = None) -> Validation:
        """Return the figures on whole, unchanged clips of held-out speakers; future as in ContentNetwork.forward."""
        results = []
        for clip in examples.held_out:
            hidden = self.network.hidden(as_float(clip.audio)[None], future=future)[0]
            direction = functional.normalize(self.network.head(hidden), dim=-1)
            cosine = (direction * clip.target).sum(dim=-1).mean()
            accuracy = (self.classifier(hidden).argmax(dim=-1) == clip.unit).float().mean()
            drift = torch.linalg.vector_norm(direction.mean(dim=0) - clip.target.mean(dim=0))
            results.append(torch.stack([cosine, accuracy, drift]))
        return Validation(*torch.stack(results).mean(dim=0).tolist())

    def save(self, path: Path, space: TargetSpace) -> None:
        """Write everything that a later start needs."""
        content = {
            "sizes": asdict(self.sizes),
            "step": self.step,
            "seed": self.seed,
            "num_steps": self.num_steps,
            "rate": self.rate,
            "start": self.start,
            "features": self.features,
            "network": self.network.state_dict(),
            "classifier": self.classifier.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "space": space.tensors(),
        }
        atomic_write(path, partial(torch.save, content))

    def restore(self, content: dict[str, Any]) -> None:
        """Take over weights, optimizer and step of a checkpoint.

        Raises:
            ConfigError: if it was begun with another number of steps, rate, seed or start, or from other features.
        """
        for option, mine, begun in (
            ("steps", self.num_steps, content["num_steps"]), ("rate", self.rate, content.get("rate", OLDER_RATE)),
            ("seed", self.seed, content["seed"]), ("start", self.start, content.get("start", self.start)),
        ):  # fmt: skip
            if begun != mine:
                shown = [value[:12] or "none" if isinstance(value, str) else str(value) for value in (mine, begun)]
                raise ConfigError(
                    f"{option} is {shown[0]}, but the checkpoint was begun with {shown[1]}; keep that, or train anew "
                    "under another name"
                )
        if content.get("features", self.features) != self.features:
            raise ConfigError("the checkpoint was begun with other teacher features; train anew under another name")
        self.network.load_state_dict(content["network"])
        self.classifier.load_state_dict(content["classifier"])
        self._optimizer.load_state_dict(content["optimizer"])
        self.step = content["step"]


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read what Distillation.save wrote.

    Raises:
        ConfigError: if the file is absent.
        FormatError: if it is damaged or of another kind.
    """
    if not path.is_file():
        raise ConfigError(f"{path} is not a file; train first")
    content = read_plain(path, "the encoder's checkpoint")
    if not isinstance(content, dict) or not {"sizes", "network"} <= content.keys():
        raise FormatError(f"{path} was not written by this recipe")
    return content
