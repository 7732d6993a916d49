"""Does a conversion keep a melody that is known?

Windows that cover a glide or vibrato hold several pitches. So time is stretched first, by the pitch that was asked for:
what followed the melody has one steady pitch then, and what did not has another. Where a voice begins or ends a window
holds a period or two, and harvest tells their pitch to 20 cents in few of these frames, of the line itself too: the
share is given of all voiced frames, and of those in which the pitch of the line itself can be told.
"""

import numpy as np
import soxr

from benchmarks.known_pitch import Sound
from utils.audio.frames import FEATURE_HOP, FEATURE_RATE
from utils.features.pitch.world import WorldPitch

CENTS = 20.0
FINER = 4  # samples between which a line is drawn, for one of 16 kHz


def share_near(cents: np.ndarray, frames: np.ndarray | None = None) -> float:
    """Return the share of voiced frames in which a conversion is within 20 cents of a line; 0 without any.

    Args:
        cents: [F] of the voiced frames, see cents_from.
        frames: which of them count; None for all.
    """
    found = near(cents)
    counted = found if frames is None else found[frames]
    return float(np.mean(counted)) if len(counted) else 0.0


def near(cents: np.ndarray) -> np.ndarray:
    """Return in which frames a distance is at most 20 cents."""
    return np.asarray(np.abs(cents) <= CENTS)


def cents_from(made: np.ndarray, rate: int, line: Sound, shift: int) -> np.ndarray:
    """Return how far a conversion is from a line in each of its voiced frames, cents; infinity where it is unvoiced."""
    frames = len(line.f0_hz)
    voiced = line.f0_hz > 0
    if not voiced.any() or not len(made):
        return np.full(int(voiced.sum()), np.inf)
    centres = (np.arange(frames) + 0.5) * FEATURE_HOP / FEATURE_RATE
    steady_hz = float(np.exp(np.mean(np.log(line.f0_hz[voiced])))) * 2 ** (shift / 12)
    count = frames * FEATURE_HOP
    time = np.arange(count) / FEATURE_RATE
    curve = np.exp(np.interp(time, centres[voiced], np.log(line.f0_hz[voiced]))) * 2 ** (shift / 12)
    stretched_time = np.concatenate([[0.0], np.cumsum(curve / steady_hz)])[:-1] / FEATURE_RATE
    stretched = _read(made, rate, np.interp(np.arange(0, stretched_time[-1], 1 / FEATURE_RATE), stretched_time, time))
    stretched = np.pad(stretched, (0, -len(stretched) % FEATURE_HOP))
    found = WorldPitch(method="harvest").track(stretched)
    place = np.interp(centres[voiced], time, stretched_time) * FEATURE_RATE / FEATURE_HOP
    there = found[np.clip(place.astype(int), 0, len(found) - 1)]
    return np.where(there > 0, 1200 * np.log2(np.where(there > 0, there, 1.0) / steady_hz), np.inf)


def _read(audio: np.ndarray, rate: int, seconds: np.ndarray) -> np.ndarray:
    """Return the values of a sound at any times; silence beyond its end."""
    fine = soxr.resample(audio, rate, FINER * FEATURE_RATE, quality="HQ")
    return np.interp(seconds * FINER * FEATURE_RATE, np.arange(len(fine)), fine, right=0.0)
