"""Loudness of 10 ms frames in decibels."""

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from utils.audio.frames import FEATURE_HOP

FLOOR_DB = -80.0
WINDOW = 4 * FEATURE_HOP


class FrameLoudness(nn.Module):
    """Root mean square of 16 kHz audio under a 40 ms Hann window, in dB relative to full scale.

    Where the window reaches beyond the audio, the mean is that of the part within.
    """

    version = 2  # 1 took what is beyond the ends for silence: their frames were 1.8 dB too soft

    def __init__(self) -> None:
        super().__init__()
        window = torch.hann_window(WINDOW)
        self.register_buffer("kernel", (window / window.sum()).view(1, 1, -1), persistent=False)
        self.kernel: Tensor

    def forward(self, audio: Tensor) -> Tensor:
        """Return [B, F] in dB, not below -80, from audio [B, F * 160] at 16 kHz."""
        power = audio.square()
        # counted outside, not inside: a sum of zeros is exact, so that all other frames keep every bit
        outside = self._under_window(torch.zeros_like(power), beyond=1.0)
        mean = self._under_window(power, beyond=0.0) / (1.0 - outside)
        return 10.0 * torch.log10(mean.clamp(min=10 ** (FLOOR_DB / 10)))

    def _under_window(self, values: Tensor, *, beyond: float) -> Tensor:
        """Return the mean [B, F] of values [B, F * 160] under each frame's window, `beyond` being around them."""
        pad = (WINDOW - FEATURE_HOP) // 2
        longer = functional.pad(values, (pad, pad), value=beyond).unsqueeze(1)
        mean: Tensor = functional.conv1d(longer, self.kernel, stride=FEATURE_HOP).squeeze(1)
        return mean

    @property
    def identity(self) -> dict[str, object]:
        """Plain description that goes into dataset fingerprints."""
        return {"id": "rms_40ms", "version": self.version}
