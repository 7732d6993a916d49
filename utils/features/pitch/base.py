"""What every pitch tracker offers."""

from typing import Any, Protocol, runtime_checkable

import numpy as np

from utils.audio.frames import FEATURE_HOP, FEATURE_RATE, FRAME_RATE

MIN_F0_HZ = 50.0
MAX_F0_HZ = 1100.0


@runtime_checkable
class PitchTracker(Protocol):
    """A way to find the fundamental frequency.

    Attributes:
        is_exportable: whether the tracker is a torch module that can stand inside an exported graph.
    """

    is_exportable: bool

    @property
    def identity(self) -> dict[str, Any]:
        """Plain data that names the tracker and everything that shapes its values."""
        ...

    def track(self, audio: np.ndarray) -> np.ndarray:
        """Return f0 in Hz, float32 [F], 0 where unvoiced, of 16 kHz audio [F * 160]."""
        ...


def extract_f0(audio: np.ndarray, sample_rate: int, tracker: PitchTracker) -> np.ndarray:
    """Track the fundamental frequency of audio at any rate.

    Args:
        audio: [T] float32 mono.
        sample_rate: samples per second of the audio.
        tracker: one of the trackers of this folder.
    Returns:
        [F] float32 in Hz, F = ceil(T * 100 / sample_rate); 0 marks an unvoiced frame.
    """
    import soxr

    samples = np.asarray(audio, dtype=np.float32)
    # whole frames at 16 kHz, not at the source's rate, whose frames may end between two samples (22050 Hz)
    expected = -(-len(samples) * FRAME_RATE // sample_rate) * FEATURE_HOP
    if sample_rate != FEATURE_RATE:
        samples = soxr.resample(samples, sample_rate, FEATURE_RATE, quality="HQ")
    return tracker.track(np.pad(samples, (0, max(0, expected - len(samples))))[:expected])
