"""The learning rate of the recipes."""

import math


def share_of_rate(update: int, num_updates: int, warmup_updates: int) -> float:
    """Return the share of the highest learning rate: a linear start, then half a cosine down to zero.

    Args:
        update: the one that is made, from 0.
        num_updates: of the whole training.
        warmup_updates: of the start.
    """
    return min(1.0, (update + 1) / warmup_updates) * 0.5 * (1 + math.cos(math.pi * update / num_updates))
