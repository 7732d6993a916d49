"""From values per frame to values per sample."""

import torch
from torch import Tensor, nn

from utils.audio.reshaping import neighbours, reshape


class FramesToSamples(nn.Module):
    """Linear interpolation between the centres of frames.

    Args:
        hop_length: samples per frame.
    """

    def __init__(self, hop_length: int) -> None:
        super().__init__()
        self.hop_length = hop_length
        position = (torch.arange(hop_length) + 0.5) / hop_length - 0.5  # in frames, relative to the centre
        self.register_buffer("before", (-position).clamp(min=0), persistent=False)
        self.register_buffer("after", position.clamp(min=0), persistent=False)
        self.before: Tensor
        self.after: Tensor

    def by_frame(self, values: Tensor) -> Tensor:
        """Return [B, F, hop_length] from [B, F]; the first and last value are held at the ends."""
        previous = torch.cat([values[:, :1], values[:, :-1]], dim=1).unsqueeze(-1)
        following = torch.cat([values[:, 1:], values[:, -1:]], dim=1).unsqueeze(-1)
        here = values.unsqueeze(-1)
        return here + (previous - here) * self.before + (following - here) * self.after

    def forward(self, values: Tensor) -> Tensor:
        """Return [B, F * hop_length] from [B, F]."""
        return reshape(self.by_frame(values), 0, -1)

    def graph_form(self) -> "FramesToSamplesInGraph":
        """Return the same interpolation in few operators."""
        return FramesToSamplesInGraph(self.hop_length).to(self.before.device)


class FramesToSamplesInGraph(FramesToSamples):
    """FramesToSamples as one matrix multiplication."""

    def by_frame(self, values: Tensor) -> Tensor:
        """Return [B, F, hop_length] from [B, F]."""
        shares = torch.stack([self.before, 1 - self.before - self.after, self.after])
        return torch.matmul(neighbours(values), shares)
