"""Random numbers of a training batch, clip by clip."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


class ClipDraws:
    """What a network draws at random for the clips of a batch.

    A clip's numbers depend on the seed and the number of its draw alone: they are the same in whatever micro-batch and
    on whatever device the clip is, and in a resumed run.

    Args:
        seed: of the run.
        clips: number of each clip's draw.
    """

    def __init__(self, seed: int, clips: Sequence[int]) -> None:
        self.generators = [torch.Generator().manual_seed(_mixed(seed, clip)) for clip in clips]

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.generators)

    def normal(self, *shape: int) -> Tensor:
        """Return standard normal numbers [B, *shape] on the CPU."""
        return torch.stack([torch.randn(shape, generator=generator) for generator in self.generators])

    def uniform(self, *shape: int) -> Tensor:
        """Return numbers [B, *shape] from 0 up to 1 on the CPU."""
        return torch.stack([torch.rand(shape, generator=generator) for generator in self.generators])


def _mixed(seed: int, clip: int) -> int:
    """Return 32 well mixed bits; torch's generator on the CPU takes no more."""
    return int(np.random.SeedSequence([seed, clip]).generate_state(1)[0])
