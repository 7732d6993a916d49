"""Per-clip random numbers of a training batch."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


class ClipRandom:
    """Random numbers for the clips of a batch.

    A clip's numbers depend on the seed and the number of its segment alone: they are the same in whatever micro-batch
    and on whatever device the clip is, and in a resumed run.

    Args:
        seed: of the run.
        segments: number of each clip's segment, see VoiceBatch.
    """

    def __init__(self, seed: int, segments: Sequence[int]) -> None:
        self.generators = [torch.Generator().manual_seed(_mixed(seed, segment)) for segment in segments]

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.generators)

    def normal(self, *shape: int) -> Tensor:
        """Return standard normal numbers [B, *shape] on the CPU."""
        return torch.stack([torch.randn(shape, generator=generator) for generator in self.generators])

    def uniform(self, *shape: int) -> Tensor:
        """Return numbers [B, *shape] from 0 up to 1 on the CPU."""
        return torch.stack([torch.rand(shape, generator=generator) for generator in self.generators])


def _mixed(seed: int, segment: int) -> int:
    """Return 32 well mixed bits; torch's generator on the CPU takes no more."""
    return int(np.random.SeedSequence([seed, segment]).generate_state(1)[0])
