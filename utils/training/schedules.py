"""How the learning rate moves: one factor for each step, after a linear rise."""

import math
from collections.abc import Callable
from typing import Protocol

from utils.config import check_range

SETTINGS = "optim.schedule"


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


class HalfLife:
    """The rate falls by half every so many steps.

    Args:
        half_life_steps: steps after which it has halved.
    """

    def __init__(self, *, half_life_steps: int) -> None:
        check_range(f"{SETTINGS}.half_life_steps", half_life_steps, 1)
        self.half_life_steps = half_life_steps

    def __call__(self, step: int, epoch: int) -> float:
        """Return 2^(-step / half_life_steps)."""
        return math.pow(0.5, step / self.half_life_steps)


class Cosine:
    """The rate falls along half a cosine and stays at its end (Loshchilov and Hutter 2017, without restarts).

    Args:
        total_steps: steps of the fall.
        final_share: where it ends, as a share of the start.
    """

    def __init__(self, *, total_steps: int, final_share: float) -> None:
        check_range(f"{SETTINGS}.total_steps", total_steps, 1)
        check_range(f"{SETTINGS}.final_share", final_share, 0, 1)
        self.total_steps, self.final_share = total_steps, final_share

    def __call__(self, step: int, epoch: int) -> float:
        """Return the factor at a step."""
        fallen = 0.5 * (1 - math.cos(math.pi * min(1.0, step / self.total_steps)))
        return 1.0 - (1.0 - self.final_share) * fallen


class PerEpoch:
    """The rate is multiplied after each epoch, as RVC is trained.

    Args:
        decay_per_epoch: the factor.
    """

    def __init__(self, *, decay_per_epoch: float) -> None:
        check_range(f"{SETTINGS}.decay_per_epoch", decay_per_epoch, 0.1, 1)
        self.decay_per_epoch = decay_per_epoch

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
