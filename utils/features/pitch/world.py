"""WORLD's pitch trackers (Morise 2016, 2017) for preprocessing; they cannot stand inside an exported graph."""

from typing import Any, Literal

import numpy as np

from utils.audio.frames import FEATURE_HOP, FEATURE_RATE, FRAME_RATE
from utils.errors import ConfigError


class WorldPitch:
    """Harvest, or DIO refined by StoneMask.

    Args:
        method: "harvest" (accurate, slow) or "dio" (fast).
        f_min: lowest frequency in Hz.
        f_max: highest frequency in Hz.
    """

    is_exportable = False

    def __init__(self, *, method: Literal["harvest", "dio"], f_min: float = 50.0, f_max: float = 1100.0) -> None:
        if method not in ("harvest", "dio"):
            raise ConfigError(f"pitch.method={method!r} is unknown; allowed: harvest, dio")
        if not 20 <= f_min < f_max <= FEATURE_RATE / 2:
            raise ConfigError(f"pitch.f_min={f_min} and pitch.f_max={f_max} must satisfy 20 <= f_min < f_max <= 8000")
        self.method, self.f_min, self.f_max = method, f_min, f_max

    @property
    def identity(self) -> dict[str, Any]:
        """Plain data that names the tracker and everything that shapes its values."""
        return {"id": f"world_{self.method}", "version": 1, "f_min": self.f_min, "f_max": self.f_max}

    def track(self, audio: np.ndarray) -> np.ndarray:
        """Return f0 in Hz, float32 [F], 0 where unvoiced, of 16 kHz audio [F * 160]."""
        import pyworld

        frames = len(audio) // FEATURE_HOP
        if frames == 0:
            return np.zeros(0, np.float32)
        samples = np.ascontiguousarray(audio, dtype=np.float64)
        low, high, period = self.f_min, self.f_max, 500.0 / FRAME_RATE
        if self.method == "harvest":
            f0_hz, _ = pyworld.harvest(samples, FEATURE_RATE, f0_floor=low, f0_ceil=high, frame_period=period)
        else:
            coarse, times = pyworld.dio(samples, FEATURE_RATE, f0_floor=low, f0_ceil=high, frame_period=period)
            f0_hz = pyworld.stonemask(samples, coarse, times, FEATURE_RATE)
        # on the grid of 5 ms: frame i is centred at (i + 0.5) * 10 ms
        centres = np.minimum(2 * np.arange(frames) + 1, len(f0_hz) - 1)
        return f0_hz[centres].astype(np.float32)
