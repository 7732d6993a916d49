"""Changes of sound that the student must not care about, made on mel powers: cheaper than on audio and enough."""

import functools
import math
from dataclasses import dataclass

import librosa
import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from utils.features.content.builtin import NUM_MELS


@dataclass(frozen=True)
class Augmentation:
    """How often and how far an example is changed.

    Attributes:
        speed: half width of the log of the playback speed; the target follows it.
        warp_share: part of the examples whose frequency axis is scaled (another vocal tract, another pitch).
        warp: half width of the log of that scale.
        reverb_share: part of the examples with a decaying smear over time.
        noise_share: part of the examples with noise of a random colour.
        snr_range_db: how far the noise lies below the mean band power.
        equalizer: largest spread of the log of a random smooth gain over frequency.
        log_gain_range: log of the power gain.
    """

    speed: float = 0.16
    warp_share: float = 0.85
    warp: float = 0.26
    reverb_share: float = 0.3
    noise_share: float = 0.6
    snr_range_db: tuple[float, float] = (8.0, 40.0)
    equalizer: float = 0.8
    log_gain_range: tuple[float, float] = (-3.0, 2.2)


def augment_mel(mel: Tensor, rng: np.random.Generator, settings: Augmentation) -> Tensor:
    """Return mel powers [F, 80] with vocal tract, room, noise, frequency response and level changed at random."""
    if rng.random() < settings.warp_share:
        matrices = warp_matrices(settings.warp)
        mel = mel @ matrices[int(rng.integers(len(matrices)))].T
    if rng.random() < settings.reverb_share:
        mel = smear(mel, decay_frames=rng.uniform(3, 15), strength=rng.uniform(0.3, 0.9))
    response = torch.exp(smooth_curve(rng, num_knots=7) * rng.uniform(0, settings.equalizer))
    if rng.random() < settings.noise_share:
        mel = add_noise(mel, rng, snr_db=rng.uniform(*settings.snr_range_db))
    return mel * response * math.exp(rng.uniform(*settings.log_gain_range))


@functools.lru_cache(maxsize=4)
def warp_matrices(width: float, count: int = 25) -> tuple[Tensor, ...]:
    """Return matrices [80, 80] that scale the frequency axis by exp(-width) to exp(width)."""
    return tuple(warp_matrix(float(factor)) for factor in np.exp(np.linspace(-width, width, count)))


def warp_matrix(factor: float) -> Tensor:
    """Return the matrix [80, 80] by which band k takes the power found at its centre frequency times factor."""
    centres = librosa.mel_frequencies(NUM_MELS + 2, fmin=0, fmax=8000)[1:-1]
    position = np.interp(np.minimum(centres * factor, 8000), centres, np.arange(NUM_MELS))
    before = np.clip(np.floor(position).astype(int), 0, NUM_MELS - 1)
    after = np.clip(before + 1, 0, NUM_MELS - 1)
    matrix = np.zeros((NUM_MELS, NUM_MELS), np.float32)
    rows = np.arange(NUM_MELS)
    matrix[rows, before] += 1 - (position - before)
    matrix[rows, after] += position - before
    return torch.from_numpy(matrix)


def smear(mel: Tensor, *, decay_frames: float, strength: float) -> Tensor:
    """Add eleven decaying echoes, one a frame, to powers [F, 80]."""
    ratio = math.exp(-1 / decay_frames) * strength
    result = mel.clone()
    for delay in range(1, min(12, len(mel))):
        result[delay:] += mel[:-delay] * (ratio**delay * 0.12)
    return result


def add_noise(mel: Tensor, rng: np.random.Generator, *, snr_db: float) -> Tensor:
    """Add noise of a random, on average falling spectrum to powers [F, 80]; silence stays silence."""
    tilt = torch.linspace(0, 2, NUM_MELS) * rng.uniform(0, 1)
    # the power of Gaussian noise in one band is exponentially distributed
    power = torch.from_numpy(rng.standard_exponential(tuple(mel.shape), dtype=np.float32))
    noise = torch.exp(smooth_curve(rng, num_knots=5) - tilt) * power
    return mel + noise * (mel.mean() / noise.mean() * 10 ** (-snr_db / 10))


def smooth_curve(rng: np.random.Generator, *, num_knots: int) -> Tensor:
    """Return [80] values, normally distributed at the knots and linear between them."""
    knots = torch.from_numpy(rng.standard_normal(num_knots).astype(np.float32))
    return functional.interpolate(knots[None, None], NUM_MELS, mode="linear", align_corners=True)[0, 0]
