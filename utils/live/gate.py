"""A noise gate: what is quieter than speech becomes silence."""

import numpy as np

FRAME_SECONDS = 0.01
HOLD_SECONDS = 0.2  # the ends of words are quiet; the gate stays open for this long
SMALL_POWER = 1e-12
LOWEST_DB = -80.0  # a threshold that lets everything through


class NoiseGate:
    """Open from the first frame of 10 ms that is loud enough until 200 ms after the last; fades over one frame.

    Args:
        threshold_db: level of a frame, relative to full scale; LOWEST_DB leaves everything as it is.
        sample_rate: of what is given.
    """

    def __init__(self, threshold_db: float, sample_rate: int) -> None:
        self._is_off = threshold_db <= LOWEST_DB
        self._threshold = 10.0 ** (threshold_db / 10.0)
        self._frame = round(FRAME_SECONDS * sample_rate)
        self._hold = round(HOLD_SECONDS / FRAME_SECONDS)
        self._held, self._gain = 0, 0.0

    def process(self, audio: np.ndarray) -> np.ndarray:
        """Return [N] of audio [N], any N; the gate remembers what came before."""
        if self._is_off:
            return audio
        gated = np.empty_like(audio)
        for start in range(0, len(audio), self._frame):
            frame = audio[start : start + self._frame]
            is_loud = float(np.mean(frame**2)) + SMALL_POWER >= self._threshold
            self._held = self._hold if is_loud else max(self._held - 1, 0)
            gain = 1.0 if self._held else 0.0
            fade = np.linspace(self._gain, gain, len(frame) + 1, dtype=audio.dtype)[1:]
            gated[start : start + self._frame] = frame * fade
            self._gain = gain
        return gated
