"""Loudness of 10 ms frames in decibels."""

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from utils.audio.frames import FEATURE_HOP

FLOOR_DB = -80.0
WINDOW = 4 * FEATURE_HOP


class FrameLoudness(nn.Module):
    """Root mean square of 16 kHz audio under a 40 ms Hann window, in dB relative to full scale."""

    version = 1

    def __init__(self) -> None:
        super().__init__()
        window = torch.hann_window(WINDOW)
        self.register_buffer("kernel", (window / window.sum()).view(1, 1, -1), persistent=False)
        self.kernel: Tensor

    def forward(self, audio: Tensor) -> Tensor:
        """Return [B, F] in dB, not below -80, from audio [B, F * 160] at 16 kHz."""
        pad = (WINDOW - FEATURE_HOP) // 2
        power = functional.pad(audio.square(), (pad, pad)).unsqueeze(1)
        mean = functional.conv1d(power, self.kernel, stride=FEATURE_HOP).squeeze(1)
        return 10.0 * torch.log10(mean.clamp(min=10 ** (FLOOR_DB / 10)))

    @property
    def identity(self) -> dict[str, object]:
        """Plain description that goes into dataset fingerprints."""
        return {"id": "rms_40ms", "version": self.version}
