"""Conversions between samples, frames and seconds: no other file divides by a hop."""

import numpy as np

FRAME_RATE = 100
FEATURE_RATE = 16000
FEATURE_HOP = FEATURE_RATE // FRAME_RATE


def num_frames(num_samples: int, hop_length: int) -> int:
    """Return the frames that cover the samples; a begun frame counts."""
    return -(-num_samples // hop_length)


def pad_to_frames(audio: np.ndarray, hop_length: int) -> np.ndarray:
    """Append zeros to [T] so that the length is a whole number of frames."""
    missing = num_frames(len(audio), hop_length) * hop_length - len(audio)
    return np.pad(audio, (0, missing)) if missing else audio


def seconds_to_frames(seconds: float) -> int:
    """Return the nearest number of frames, at least 1."""
    return max(1, round(seconds * FRAME_RATE))
