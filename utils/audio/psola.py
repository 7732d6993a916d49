"""Small changes of pitch and formants in the time domain, where the fundamental frequency is known."""

import numpy as np
import soxr

OVERSAMPLING = 4  # grains are placed on a grid of a quarter sample
UNVOICED_HZ = 200.0  # as if unvoiced sound had periods of 5 ms
NO_WINDOW = 1e-3
LEVEL_FRAMES = (0.25, 0.5, 0.25)  # shares of the frame before, this one and the next in a level
MOST_LEVELLED = 4.0  # a level is raised or lowered by at most this factor, 12 dB
SILENCE = 1e-10  # power, -100 dB


def shift_voice(
    audio: np.ndarray,
    f0_hz: np.ndarray,
    *,
    sample_rate: int,
    pitch_ratio: float | np.ndarray = 1.0,
    formant_ratio: float = 1.0,
) -> np.ndarray:
    """Move the fundamental frequency or the formants, keeping the tempo and the level.

    Pitch-synchronous overlap-add (Moulines and Charpentier 1990): grains of two periods are set down at the new
    periods; to move formants each grain is played faster or slower. Unvoiced sound has grains of 10 ms that stay within
    2.5 ms of where they were.

    Args:
        audio: [F * hop] float32.
        f0_hz: [F] of the audio, 0 in unvoiced frames.
        sample_rate: samples per second.
        pitch_ratio: new fundamental frequency over the old, one for all or [F].
        formant_ratio: new formant frequencies over the old.
    Returns:
        [F * hop] float32; the audio itself where both ratios are 1, and where it is shorter than a period.
    """
    if (np.all(pitch_ratio == 1.0) and formant_ratio == 1.0) or not len(f0_hz):
        return audio
    hop = len(audio) // len(f0_hz)
    if isinstance(pitch_ratio, np.ndarray):
        pitch_ratio = np.repeat(pitch_ratio, hop)
    is_voiced = np.repeat(f0_hz > 0, hop)
    frequency = np.where(is_voiced, np.repeat(f0_hz, hop), UNVOICED_HZ).astype(np.float64) / sample_rate
    source = _marks(frequency)
    target = _marks(frequency * np.where(is_voiced, pitch_ratio, 1.0))
    if not len(source) or not len(target):
        return audio
    grain = source[_nearest(source, target)]
    period = 1.0 / frequency[np.minimum(grain.astype(np.int64), len(audio) - 1)]
    # a grain that is played faster is shorter: it must not reach past its neighbours' pulses
    half = period / max(1.0, formant_ratio)
    # soxr takes rates that are no whole numbers: only their ratio counts
    fine = soxr.resample(audio, formant_ratio, float(OVERSAMPLING), quality="HQ")
    first = np.ceil(target - half).astype(np.int64)
    count = np.floor(target + half).astype(np.int64) - first + 1
    which = np.repeat(np.arange(len(target)), count)
    index = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count) + first[which]
    distance = index - target[which]
    position = np.rint(OVERSAMPLING * (grain[which] / formant_ratio + distance)).astype(np.int64)
    inside = (index >= 0) & (index < len(audio)) & (position >= 0) & (position < len(fine))
    index, which, distance, position = index[inside], which[inside], distance[inside], position[inside]
    window = 0.5 + 0.5 * np.cos(np.pi * distance / half[which])
    total = np.bincount(index, window, minlength=len(audio))
    mixed = np.bincount(index, window * fine[position], minlength=len(audio))
    moved = mixed / np.maximum(total, NO_WINDOW)
    return (moved * _level_ratio(audio, moved, hop)).astype(np.float32)


def _level_ratio(audio: np.ndarray, moved: np.ndarray, hop: int) -> np.ndarray:
    """Return [F * hop], by what the sound must be multiplied to be as loud as it was before it was moved.

    Grains closer together than their halves are long partly cancel each other: an octave up costs 6 dB.
    """
    ratio = np.sqrt((_powers(audio, hop) + SILENCE) / (_powers(moved, hop) + SILENCE))
    centres = hop * (np.arange(len(ratio)) + 0.5)
    return np.interp(np.arange(len(audio)), centres, ratio.clip(1 / MOST_LEVELLED, MOST_LEVELLED))


def _powers(audio: np.ndarray, hop: int) -> np.ndarray:
    """Return the mean power [F] around each frame of [F * hop] or a few samples more."""
    frames = np.square(audio[: len(audio) // hop * hop].astype(np.float64)).reshape(-1, hop).mean(axis=1)
    return np.convolve(np.pad(frames, 1, mode="edge"), LEVEL_FRAMES, mode="valid")


def _marks(frequency: np.ndarray) -> np.ndarray:
    """Return where each period of [T] cycles per sample begins, in samples."""
    phase = np.concatenate([[0.0], np.cumsum(frequency)])
    return np.interp(np.arange(np.floor(phase[-1]) + 1), phase, np.arange(len(phase)))


def _nearest(sorted_values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the index of the nearest of some sorted values for each wanted one."""
    right = np.clip(np.searchsorted(sorted_values, wanted), 1, max(1, len(sorted_values) - 1))
    left = right - 1
    right = np.minimum(right, len(sorted_values) - 1)
    return np.where(wanted - sorted_values[left] <= sorted_values[right] - wanted, left, right)
