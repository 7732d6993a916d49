"""The other convention for pitch in unvoiced frames: a straight line between the voiced ones around them."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from utils.audio.filling import fill_unvoiced
from utils.features.pitch.base import PitchTracker


class FilledPitch(nn.Module):
    """A tracker whose unvoiced frames are filled, for voices that were trained so (RVC-WebUI since July 2026).

    Args:
        tracker: an exportable tracker ([B, F * 160] -> [B, F] Hz, 0 where unvoiced).
    """

    is_exportable = True

    def __init__(self, tracker: nn.Module) -> None:
        super().__init__()
        self.tracker = tracker

    @property
    def identity(self) -> dict[str, Any]:
        """Plain data that names the tracker and everything that shapes its values."""
        tracker: Any = self.tracker
        return {**tracker.identity, "unvoiced": "interpolated"}

    def forward(self, audio: Tensor) -> Tensor:
        """Return f0 in Hz [B, F] from audio [B, F * 160] at 16 kHz; 0 only in rows without a voiced frame."""
        return fill_unvoiced(self.tracker(audio))

    def track(self, audio: np.ndarray) -> np.ndarray:
        """Return f0 in Hz, float32 [F], of 16 kHz audio [F * 160]."""
        assert isinstance(self.tracker, PitchTracker)
        filled: np.ndarray = fill_unvoiced(torch.from_numpy(self.tracker.track(audio))[None])[0].numpy()
        return filled
