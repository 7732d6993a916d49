"""How converted audio lies against its source and against another conversion: delay, copies, seams, spectra."""

import math
from dataclasses import dataclass

import numpy as np

ENVELOPE_SECONDS = 0.01  # window of the level that is followed
ENVELOPE_STEPS_PER_SECOND = 4000
COPY_SECONDS = 0.05
NUM_BANDS = 40
SPECTRAL_RANGE_DB = 60.0
COPY = 0.95  # likeness from which on a conversion counts as its source again
SMALL = 1e-12


@dataclass(frozen=True)
class Delay:
    """By how much one signal's level follows another's, and how alike (-1 to 1) the two are then."""

    seconds: float
    correlation: float


@dataclass(frozen=True)
class Seams:
    """Steps from the last sample of a block to the first of the next, in dB.

    Attributes:
        jump_db: over the steps between neighbouring samples of a conversion in one piece; 0: no rougher than those.
        step_db: over the level of that conversion; 3: the blocks meet like unrelated sounds.
    """

    jump_db: float
    step_db: float


def level_delay(source: np.ndarray, converted: np.ndarray, sample_rate: int, *, longest: float = 0.1) -> Delay:
    """Return by how many seconds the level of `converted` [T] is behind that of `source` [T].

    Waveforms of two voices do not correlate, their levels do. A positive value means that the conversion is late.

    Args:
        source: what went in.
        converted: what came out.
        sample_rate: of both.
        longest: largest delay looked for, in seconds, to either side.
    """
    step = max(1, sample_rate // ENVELOPE_STEPS_PER_SECOND)
    before, after = (_level(audio, sample_rate)[::step] for audio in (source, converted))
    reach = round(longest * sample_rate / step)
    lags, values = correlation(before, after, reach)
    best = int(np.argmax(values))
    offset = 0.0
    if 0 < best < len(values) - 1:
        left, middle, right = values[best - 1 : best + 2]
        curvature = left - 2 * middle + right
        offset = 0.5 * (left - right) / curvature if curvature else 0.0
    return Delay((lags[best] + offset) * step / sample_rate, float(values[best]))


def copy_likeness(source: np.ndarray, converted: np.ndarray, sample_rate: int) -> float:
    """Return 0..1: how far `converted` [T] is `source` [T] again, at any gain, sign and delay up to 50 ms."""
    _, values = correlation(source, converted, round(COPY_SECONDS * sample_rate))
    return float(np.abs(values).max())


def copy_faults(source: np.ndarray, converted: np.ndarray, sample_rate: int) -> list[str]:
    """Say which rows of `converted` [C, T] are those of `source` again, at any gain, sign and delay up to 50 ms."""
    likeness = [copy_likeness(*rows, sample_rate) for rows in zip(source, converted, strict=True)]
    return [
        f"the unconverted sound comes back (correlation {value:.2f}; a copy: from {COPY:g} on)"
        for value in likeness
        if not value < COPY
    ][:1]


def seam_scores(whole: np.ndarray, pieced: np.ndarray, block: int) -> Seams:
    """Return how large the steps at block boundaries are.

    Args:
        whole: [T] converted at once.
        pieced: [T] the same audio converted block by block.
        block: samples of a block.
    """
    seams = np.arange(block, len(whole), block)
    rough = _rms(pieced[seams].astype(np.float64) - pieced[seams - 1])
    smooth, level = _rms(np.diff(whole.astype(np.float64))), _rms(whole.astype(np.float64))
    jump, step = (20 * math.log10(max(rough, SMALL) / max(value, SMALL)) for value in (smooth, level))
    return Seams(jump, step)


def spectral_difference_db(one: np.ndarray, other: np.ndarray, sample_rate: int) -> float:
    """Return the mean difference of two [T] in 40 bands of equal ratio over frames of 40 ms, in dB.

    What is more than 60 dB below the louder one's loudest band counts as that; noise of equal colour differs by 2 to 3.
    """
    powers = [_band_powers(audio, sample_rate) for audio in (one, other)]
    floor = max(float(power.max(initial=0.0)) for power in powers) * 10 ** (-SPECTRAL_RANGE_DB / 10) + SMALL
    levels = [10 * np.log10(np.maximum(power, floor)) for power in powers]
    return float(np.mean(np.abs(levels[0] - levels[1])))


def _level(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return [T] the RMS over a window centred on each sample."""
    half = round(ENVELOPE_SECONDS * sample_rate / 2)
    total = np.concatenate([np.zeros(half + 1), np.cumsum(np.square(audio.astype(np.float64)))])
    total = np.concatenate([total, np.full(half, total[-1])])
    level: np.ndarray = np.sqrt(np.maximum(total[2 * half + 1 :] - total[: -2 * half - 1], 0.0) / (2 * half + 1))
    return level


def correlation(source: np.ndarray, converted: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """Return lags from -reach to reach and the normalised correlation at each; a positive lag: converted is late."""
    before = source.astype(np.float64) - np.mean(source, dtype=np.float64)
    after = converted.astype(np.float64) - np.mean(converted, dtype=np.float64)
    size = 1 << (len(before) + reach).bit_length()
    spectrum = np.conj(np.fft.rfft(before, size)) * np.fft.rfft(after, size)
    values = np.fft.irfft(spectrum, size) / max(float(np.linalg.norm(before) * np.linalg.norm(after)), SMALL)
    lags = np.arange(-reach, reach + 1)
    return lags, values[lags]


def _band_powers(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return [frames, bands] power."""
    length = 2 * round(0.02 * sample_rate)
    padded = np.pad(audio.astype(np.float64), (0, length))
    frames = np.lib.stride_tricks.sliding_window_view(padded, length)[:: length // 2]
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(length), axis=1)))
    frequencies = np.fft.rfftfreq(length, 1 / sample_rate)
    edges = np.geomspace(80.0, 0.45 * sample_rate, NUM_BANDS + 1)
    bands = np.searchsorted(edges, frequencies, side="right")
    present = [band for band in range(1, NUM_BANDS + 1) if (bands == band).any()]  # low ones may be narrower than a bin
    chosen = [power[:, bands == band].sum(axis=1) for band in present]
    return np.stack(chosen, axis=1)


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values)))) if values.size else 0.0
