"""What several rules measure: level, finiteness, difference."""

import math

import numpy as np

SILENCE_PEAK = 1e-4  # -80 dB of full scale
LOUDEST_PEAK = 4.0  # of the answer to input within full scale
LEVEL_FLOOR = 1e-3  # a quieter signal counts as this RMS when a difference is relative to it


def faults(output: np.ndarray, audio: np.ndarray, *, is_sound: bool, loudest: float = LOUDEST_PEAK) -> list[str]:
    """Return what is wrong with an answer to [B, T]: shape, finiteness, level."""
    if output.shape != audio.shape:
        return [f"shape {list(output.shape)} for {list(audio.shape)}"]
    wrong = int(np.count_nonzero(~np.isfinite(output)))
    if wrong:
        return [f"{wrong} of {output.size} samples are not finite"]
    peak = float(np.abs(output).max(initial=0.0))
    within = np.isfinite(audio).all() and float(np.abs(audio).max(initial=0.0)) <= 1.0
    if within and peak > loudest:
        return [f"peak {peak:.1f} (allowed {loudest:g})"]
    return [f"silent (peak {peak:.1e}) where the input speaks"] if is_sound and peak <= SILENCE_PEAK else []


def levels(output: np.ndarray) -> str:
    """Describe RMS and peak in dB of full scale."""
    peak = float(np.abs(output).max(initial=0.0))
    rms = math.sqrt(float(np.mean(np.square(output, dtype=np.float64)))) if output.size else 0.0
    return f"RMS {decibels(rms):.1f} dB, peak {decibels(peak):.1f} dB"


def relative_difference(got: np.ndarray, expected: np.ndarray) -> float:
    """Return RMS(got - expected) / RMS(expected); an expected RMS below -60 dB counts as -60 dB.

    Infinite for other shapes and where either is not finite everywhere, so that no comparison lets NaN pass.
    """
    if got.shape != expected.shape or not (np.isfinite(got).all() and np.isfinite(expected).all()):
        return math.inf
    if not expected.size:
        return 0.0
    difference = math.sqrt(float(np.mean(np.square(got.astype(np.float64) - expected))))
    level = math.sqrt(float(np.mean(np.square(expected, dtype=np.float64))))
    return difference / max(level, LEVEL_FLOOR)


def relative_db(got: np.ndarray, expected: np.ndarray) -> float:
    """Return relative_difference in dB, not below -200."""
    return decibels(relative_difference(got, expected), floor=-200.0)


def decibels(value: float, floor: float = -120.0) -> float:
    """Return an amplitude in dB; NaN and infinity stay what they are."""
    if not math.isfinite(value):
        return value
    return max(floor, 20 * math.log10(value)) if value > 0 else floor
