"""The held-out criterion that chooses the best state of a run."""

import math

from utils.config.train import TrainJob

CRITERION = "val/mel"
# Share by which a criterion may stand above the lowest and still count as equal to it, the noise of a real run. The
# later of equals is kept: similarity to the speaker still rises when the criterion rests; both measured in
# benchmarks/results/fine_tune_settings_2core-avx512_2026-11-22.md.
EQUAL_SHARE = 1e-3


def is_best(value: float, lowest: float) -> bool:
    """Return whether a state with this criterion replaces all earlier ones, whose lowest is given; NaN never does."""
    return math.isfinite(value) and value <= lowest * (1 + EQUAL_SHARE)


def best_from_step(job: TrainJob) -> int:
    """Return the update from which on a state can be the best: a discriminator that joins raises the criterion."""
    return job.loss.adversarial_start if job.discriminator else 0
