"""Random changes of sound that a network must not react to: rooms, noise, frequency responses, levels."""

import math
from dataclasses import dataclass

import numpy as np

from utils.audio.frames import FEATURE_RATE

MIN_POWER = 1e-12


@dataclass(frozen=True)
class SoundAugmentation:
    """How often and how far an example is changed.

    Attributes:
        speed: half width of the log of the playback speed; it moves pitch and vocal tract too, and the target follows.
        reverb_share: part of the examples with a decaying echo.
        decay_range_seconds: time in which the echo loses 60 dB.
        reverb_range_db: power of the echo relative to the direct sound.
        noise_share: part of the examples with noise of a random colour.
        snr_range_db: how far the noise lies below the mean power.
        equalizer_db: spread of a random smooth gain over frequency.
        level_range_db: change of the level.
    """

    speed: float = 0.24
    reverb_share: float = 0.3
    decay_range_seconds: tuple[float, float] = (0.1, 0.5)
    reverb_range_db: tuple[float, float] = (-20.0, -3.0)
    noise_share: float = 0.6
    snr_range_db: tuple[float, float] = (8.0, 40.0)
    equalizer_db: float = 4.0
    level_range_db: tuple[float, float] = (-14.0, 9.0)


def augment(audio: np.ndarray, rng: np.random.Generator, settings: SoundAugmentation) -> np.ndarray:
    """Return 16 kHz audio [T] with room, frequency response, noise and level changed at random."""
    power = max(MIN_POWER, float(np.mean(np.square(audio))))
    # twice the length: what the echo and the filters smear behind the end does not come round to the start
    size = 2 * len(audio)
    spectrum = np.fft.rfft(audio, size)
    if rng.random() < settings.reverb_share:
        ratio = 10 ** (rng.uniform(*settings.reverb_range_db) / 20)
        response = room_response(rng, decay_seconds=rng.uniform(*settings.decay_range_seconds))
        spectrum *= 1 + ratio * np.fft.rfft(response, size)
    spectrum *= 10 ** (settings.equalizer_db * smooth_curve(rng, len(spectrum), num_knots=6) / 20)
    result = np.fft.irfft(spectrum, size)[: len(audio)]
    if rng.random() < settings.noise_share:
        noise = coloured_noise(rng, len(audio))
        result += noise * math.sqrt(power) * 10 ** (-rng.uniform(*settings.snr_range_db) / 20)
    gain = 10 ** (rng.uniform(*settings.level_range_db) / 20)
    return (result * gain).astype(np.float32)


def room_response(rng: np.random.Generator, *, decay_seconds: float) -> np.ndarray:
    """Return a response of energy 1: silence of 4 ms, then noise that loses 60 dB in the given time."""
    count = round(decay_seconds * FEATURE_RATE)
    start = round(0.004 * FEATURE_RATE)
    response = rng.standard_normal(count) * 10 ** (-3 * np.arange(count) / count)
    response[:start] = 0
    return response / np.sqrt(np.sum(np.square(response)))


def coloured_noise(rng: np.random.Generator, length: int) -> np.ndarray:
    """Return Gaussian noise [length] of power 1 with a random, on average falling spectrum."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    frequency = np.linspace(0, FEATURE_RATE / 2, len(spectrum))
    slope = rng.uniform(0, 1) * 6.0 * np.log2(1 + frequency / 100)  # 0 to 6 dB an octave above 100 Hz
    spectrum *= 10 ** ((6 * smooth_curve(rng, len(spectrum), num_knots=6) - slope) / 20)
    noise = np.fft.irfft(spectrum, length)
    return noise / np.sqrt(np.mean(np.square(noise)))


def smooth_curve(rng: np.random.Generator, length: int, *, num_knots: int) -> np.ndarray:
    """Return [length] values, normally distributed at the knots and linear between them."""
    return np.interp(np.linspace(0, num_knots - 1, length), np.arange(num_knots), rng.standard_normal(num_knots))
