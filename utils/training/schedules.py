"""How the learning rate moves: one factor for each step, after a linear rise."""

import math
from collections.abc import Callable
from typing import ClassVar, Protocol

from utils.config.fields import Number, Section, setting

KEY = "optim.schedule"


class Schedule(Protocol):
    """A factor of the learning rate, 1 at the start."""

    def __call__(self, step: int, epoch: int) -> float:
        """Return the factor after `step` updates, which are `epoch` epochs."""
        ...


class Constant:
    """The rate stays as it is."""

    def __call__(self, step: int, epoch: int) -> float:
        """Return 1."""
        return 1.0


class HalfLife(Section):
    """The rate falls by half every so many steps."""

    key: ClassVar[str] = KEY
    half_life_steps: int = setting(..., "steps after which it has halved", ge=1, example=5000)

    def __call__(self, step: int, epoch: int) -> float:
        """Return 2^(-step / half_life_steps)."""
        return math.pow(0.5, step / self.half_life_steps)


class Cosine(Section):
    """The rate falls along half a cosine and stays at its end (Loshchilov and Hutter 2017, without restarts)."""

    key: ClassVar[str] = KEY
    total_steps: int = setting(..., "steps of the fall", ge=1, example=20000)
    final_share: Number = setting(..., "where it ends, as a share of the start", ge=0, le=1, example=0.01)

    def __call__(self, step: int, epoch: int) -> float:
        """Return the factor at a step."""
        fallen = 0.5 * (1 - math.cos(math.pi * min(1.0, step / self.total_steps)))
        return 1.0 - (1.0 - self.final_share) * fallen


class PerEpoch(Section):
    """The rate is multiplied each time the training data has passed, as RVC is trained."""

    key: ClassVar[str] = KEY
    decay_per_epoch: Number = setting(..., "the factor", ge=0.1, le=1, example=0.999875)

    def __call__(self, step: int, epoch: int) -> float:
        """Return decay_per_epoch^epoch."""
        return math.pow(self.decay_per_epoch, epoch)


def with_warmup(schedule: Schedule, *, warmup_steps: int, epoch_steps: int) -> Callable[[int], float]:
    """Return the factor as a function of the step alone: min(1, (step + 1) / warmup_steps) times the schedule's.

    Args:
        schedule: of the group optim/schedule.
        warmup_steps: steps of the linear rise; 0 or 1: none.
        epoch_steps: steps of an epoch.
    """

    def factor(step: int) -> float:
        return min(1.0, (step + 1) / max(1, warmup_steps)) * schedule(step, step // epoch_steps)

    return factor
