"""The tensors that a model is trained on."""

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass
class VoiceBatch:
    """A batch of aligned audio and features; F frames at 100 per second, T = F * hop_length.

    Attributes:
        audio: [B, T] float32.
        content: [B, F, D] float32, speaker-independent features.
        f0_hz: [B, F] float32, 0 in unvoiced frames.
        loudness_db: [B, F] float32.
        speaker_id: [B] int64.
        num_frames: [B] int64, frames that are not padding.
        segment: [B] int64, number of each segment in the whole run: every random choice about it is a function of the
            seed and this number, so that it does not depend on micro-batches and devices.
    """

    audio: Tensor
    content: Tensor
    f0_hz: Tensor
    loudness_db: Tensor
    speaker_id: Tensor
    num_frames: Tensor
    segment: Tensor

    def to(self, device: torch.device, *, non_blocking: bool = False) -> "VoiceBatch":
        """Return the same batch with every tensor on the device; non_blocking as in torch, from pinned memory alone."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "VoiceBatch":
        """Return the batch in memory that a GPU reads directly (DataLoader asks for this method)."""
        return self._map(Tensor.pin_memory)

    def part(self, clips: slice | Tensor) -> "VoiceBatch":
        """Return the batch of some of the clips, a slice or their numbers [N]."""
        return self._map(lambda tensor: tensor[clips])

    def _map(self, function: Callable[[Tensor], Tensor]) -> "VoiceBatch":
        return VoiceBatch(**{item.name: function(getattr(self, item.name)) for item in fields(self)})
