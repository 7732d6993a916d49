"""Pieces of a soft recording that are, in the mean, as loud as all of it.

The content encoders in our graphs raise what is below -26 dB, or scale everything, by the mean of all that they are
given (utils.features.content). Alone, a piece would get another gain than it has within its recording, and other words.
So it gets what is missing as sound that is thrown away.
"""

import math

import numpy as np

from utils.inference.source import Sound

LOW_POWER = 10 ** (-26 / 10)  # mean square from which on nothing is raised
SPACE_SECONDS = (
    4.0  # of what is put before or behind a piece, or a multiple: the noise of a voice repeats after so much
)
BURST_SECONDS = 1.0  # of it is sound, as far from the piece as can be
TONE_HZ = 1000.0
STEP_SECONDS = 10.0


def mean_power(sound: Sound, sample_rate: int) -> float:
    """Return the mean square of a sound, read step by step."""
    total, step = 0.0, round(STEP_SECONDS * sample_rate)
    for first in range(0, len(sound), step):
        total += float(np.square(sound.read(first, min(len(sound), first + step)), dtype=np.float64).sum())
    return total / max(1, len(sound))


def filling(audio: np.ndarray, power: float, sample_rate: int, most: int) -> np.ndarray:
    """Return what audio [T] lacks to have a mean square: a tone, then silence, in whole multiples of 4 s; or nothing.

    Args:
        audio: a piece of a recording.
        power: mean square of the recording.
        sample_rate: samples per second.
        most: samples that there is room for; a piece that is far louder than its recording lacks more.
    """
    own = float(np.mean(np.square(audio, dtype=np.float64)))
    space = round(SPACE_SECONDS * sample_rate)
    if min(own, power) >= LOW_POWER or not own or not power or most < space:
        return audio[:0]
    silence = len(audio) * (own / power - 1)
    length = space * min(max(1, math.ceil(silence / space)), most // space)
    energy = max(0.0, power * (len(audio) + length) - own * len(audio))
    # a tone: filters and resamplers leave its power as it is
    burst = np.sin(2 * np.pi * TONE_HZ / sample_rate * np.arange(round(BURST_SECONDS * sample_rate)))
    burst *= math.sqrt(energy / np.square(burst).sum())
    return np.concatenate([burst, np.zeros(length - len(burst))]).astype(np.float32)
