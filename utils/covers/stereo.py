"""Sounds of a cover in memory: [T, 2] float32 at the rate of the instrumental; and how loud they are."""

import importlib.util
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from utils.audio.decoding import open_audio
from utils.audio.writing import SOUND_FORMATS, open_writer
from utils.errors import ConfigError, DataError
from utils.inference.source import read_source

INSTALL = 'pip install -e ".[cover]"'
SHORTEST_SECONDS = 0.4  # of a loudness: one block of ITU-R BS.1770-4
LOOK_SECONDS = 0.005  # that the limiter sees to each side: its gain moves so slowly that one hears no click
TOLERANCE_LU, ATTEMPTS = 0.05, 8


def rate_of(path: Path) -> int:
    """Return the samples per second of a sound file.

    Raises:
        DataError: if it cannot be read.
    """
    with open_audio(path) as decoder:
        return int(decoder.sample_rate)


def read_stereo(path: Path, sample_rate: int) -> np.ndarray:
    """Read a sound file as [T, 2] at a rate: one channel is both, of more than two each side is their mean.

    Raises:
        DataError: if it cannot be read.
    """
    with read_source(path, sample_rate, 0) as first:
        count, left = first.original_channels, first.samples
    if count == 1:
        return np.stack([left, left], axis=1)
    with read_source(path, sample_rate, 1 if count == 2 else None) as other:
        right = other.samples
    return np.stack([left if count == 2 else right, right], axis=1)


def write_stereo(path: Path, audio: np.ndarray, sample_rate: int) -> None:
    """Write [T, 2] as WAV of 32-bit floats, which nothing clips."""
    with open_writer(path, SOUND_FORMATS["wav32f"], sample_rate=sample_rate, num_channels=2) as write:
        write(audio)


def together(sounds: Sequence[np.ndarray]) -> np.ndarray:
    """Return the sum of sounds [T, 2], as long as the longest."""
    total = np.zeros((max(map(len, sounds)), 2), np.float32)
    for sound in sounds:
        total[: len(sound)] += sound
    return total


def loudness_package() -> Any:
    """Return the module that measures loudness.

    Raises:
        ConfigError: if it is not installed.
    """
    if importlib.util.find_spec("pyloudnorm") is None:
        raise ConfigError(f"cover.py needs the package pyloudnorm; type: {INSTALL}")
    import pyloudnorm

    return pyloudnorm


def loudness(audio: np.ndarray, sample_rate: int) -> float | None:
    """Return the integrated loudness of [T, 2] in LUFS, ITU-R BS.1770-4; None of silence.

    Raises:
        ConfigError: if the package that measures it is not installed.
        DataError: if the sound is too short for it.
    """
    meters = loudness_package()
    if len(audio) < SHORTEST_SECONDS * sample_rate:
        raise DataError(f"a sound of {len(audio) / sample_rate:.2f} s is too short to measure its loudness (0.4 s)")
    if not audio.any():
        return None
    measured = float(meters.Meter(sample_rate).integrated_loudness(audio))
    return measured if math.isfinite(measured) else None


def gained(audio: np.ndarray, gain_db: float) -> np.ndarray:
    """Return audio that is louder by some decibels."""
    return audio * np.float32(10 ** (gain_db / 20))


def limited(audio: np.ndarray, sample_rate: int, peak_db: float) -> np.ndarray:
    """Return [T, 2] of which no sample is beyond a level.

    The gain is the lowest that is needed within 5 ms, averaged over as much: it comes in before each peak.
    """
    from scipy.ndimage import minimum_filter1d, uniform_filter1d

    ceiling = 10 ** (peak_db / 20)
    peaks = np.abs(audio).max(axis=1, initial=0.0).astype(np.float64)
    if peaks.max(initial=0.0) <= ceiling:
        return audio
    width = 2 * round(LOOK_SECONDS * sample_rate) + 1
    gain = minimum_filter1d(np.minimum(1.0, ceiling / np.maximum(peaks, ceiling)), width)
    moved = audio * uniform_filter1d(gain, width)[:, None].astype(np.float32)
    return np.clip(moved, -ceiling, ceiling).astype(np.float32)  # rounding alone


def as_loud(audio: np.ndarray, sample_rate: int, target_lufs: float | None, peak_db: float) -> np.ndarray:
    """Return [T, 2] with a loudness and without samples beyond a level; of silence, or for no target, only the latter.

    What the limiter takes away is given back, so the loudness is the target's but for 0.05 LU where that is possible.
    """
    measured = None if target_lufs is None else loudness(audio, sample_rate)
    if target_lufs is None or measured is None:
        return limited(audio, sample_rate, peak_db)
    gain_db = target_lufs - measured
    for _ in range(ATTEMPTS):
        louder = gained(audio, gain_db)
        made = limited(louder, sample_rate, peak_db)
        if made is louder:
            break
        missing = target_lufs - (loudness(made, sample_rate) or target_lufs)
        if abs(missing) < TOLERANCE_LU:
            break
        gain_db += missing
    return made
