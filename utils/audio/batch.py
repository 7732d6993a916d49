"""The tensors that a model is trained on."""

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

    def to(self, device: torch.device) -> "VoiceBatch":
        """Return the same batch with every tensor on the device."""
        return VoiceBatch(**{item.name: getattr(self, item.name).to(device) for item in fields(self)})

    def part(self, clips: slice) -> "VoiceBatch":
        """Return the batch of some of the clips."""
        return VoiceBatch(**{item.name: getattr(self, item.name)[clips] for item in fields(self)})
