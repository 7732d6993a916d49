"""Speech as bad recordings have it: with an offset, hum, rumble, at other levels, on one channel of two."""

import numpy as np
from scipy.signal import butter, sosfilt

SPEECH_RMS = 10 ** (-26 / 20)  # of active speech at -23 LUFS, about


def tone(like: np.ndarray, sample_rate: int, frequency: float, level: float) -> np.ndarray:
    """Return a sine [T] with an amplitude."""
    return level * np.sin(2 * np.pi * frequency * np.arange(len(like)) / sample_rate + 1.0)


def rumble(like: np.ndarray, sample_rate: int, rms: float) -> np.ndarray:
    """Return noise [T] below 15 Hz with a level."""
    noise = np.random.default_rng(5).standard_normal(len(like))
    slow = sosfilt(butter(4, 15, fs=sample_rate, output="sos"), noise)
    return rms * slow / np.sqrt(np.mean(np.square(slow)))


def disturbed(speech: np.ndarray, sample_rate: int, kind: str) -> np.ndarray:
    """Return speech [T] float32 with one of DISTURBANCES, or at a level such as "-40 dB"."""
    added = {
        "clean": np.zeros_like(speech),
        "DC": np.full_like(speech, 0.03),
        "DC of 0.1": np.full_like(speech, 0.1),
        "hum of 25 Hz": tone(speech, sample_rate, 25.0, 0.03),
        "hum of 50 Hz": tone(speech, sample_rate, 50.0, 0.01),
        "rumble": rumble(speech, sample_rate, 0.03),
    }
    if kind in added:
        return (speech + added[kind]).astype(np.float32)
    return (speech * 10 ** (float(kind.removesuffix(" dB")) / 20)).astype(np.float32)


DISTURBANCES = ("DC", "DC of 0.1", "hum of 25 Hz", "hum of 50 Hz", "rumble")
LEVELS = ("-40 dB", "-12 dB", "+12 dB")
