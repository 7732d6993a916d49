"""How a recording sounds, in few bits that its copies share: in another format, at another rate or level, cut.

Each 20 ms become 32 bits: whether the difference between two neighbouring bands grows or falls. Level and any filter
cancel out, and the bands are smoothed over so long a time that where the frames begin does not matter (after Haitsma
and Kalker 2002, A Highly Robust Audio Fingerprinting System).
"""

import base64
from functools import lru_cache

import numpy as np
import scipy.fft

from utils.corpus.arrays import Rows
from utils.corpus.stored_array import StoredArray

NUM_BITS = 32
HOP_FRAMES = 2  # of 10 ms
HOPS_PER_SECOND = 100 // HOP_FRAMES
WINDOW_FRAMES = 4
LOWEST_HZ, HIGHEST_HZ = 200.0, 3400.0  # what a telephone leaves
SMOOTHING = 9  # hops, a Hann window of 200 ms
LAG = 4  # hops over which a difference grows or falls
QUIET_DB = 30.0  # below the loud frames: noise there is another one after a codec
LOUD_PERCENTILE = 95.0
BLOCK_HOPS = 1 << 12
CONTEXT_HOPS = SMOOTHING // 2 + LAG
UNKNOWN = 0  # the print of a quiet frame


def sound_print(waveform: Rows, sample_rate: int) -> np.ndarray:
    """Describe a recording, in bounded memory.

    Args:
        waveform: [F * sample_rate / 100] int16, its clips one behind the other.
        sample_rate: a multiple of 100, at least 8000.
    Returns:
        [F / 2] uint32; 0 in quiet frames, which tell nothing.
    Raises:
        DamagedFileError: if the waveform is not what was written.
    """
    array = StoredArray(waveform.path)
    count = waveform.count // (sample_rate // 100 * HOP_FRAMES)
    bits, levels_db = np.zeros(count, np.uint32), np.zeros(count)
    for first in range(0, count, BLOCK_HOPS):
        end = min(first + BLOCK_HOPS, count)
        low, high = max(0, first - CONTEXT_HOPS), min(end + CONTEXT_HOPS, count)
        smooth = _smooth(_band_powers(array, waveform, low, high, sample_rate))
        inside = slice(first - low, end - low)
        bits[first:end], levels_db[first:end] = _bits(smooth)[inside], 10 * np.log10(smooth.sum(axis=1))[inside]
    if count:
        bits[levels_db < np.percentile(levels_db, LOUD_PERCENTILE) - QUIET_DB] = UNKNOWN
    bits[:LAG] = UNKNOWN
    return bits


def print_text(bits: np.ndarray) -> str:
    """Return a print as text for JSON."""
    return base64.b64encode(bits.astype("<u4").tobytes()).decode("ascii")


def print_of_text(text: str) -> np.ndarray:
    """Return the print that print_text made a text of; ValueError if it did not."""
    return np.frombuffer(base64.b64decode(text, validate=True), "<u4").astype(np.uint32)


def _band_powers(array: StoredArray, waveform: Rows, low: int, high: int, sample_rate: int) -> np.ndarray:
    """Return the power in each band of hops low..high-1, [hops, NUM_BITS + 1]."""
    hop, size = sample_rate // 100 * HOP_FRAMES, sample_rate // 100 * WINDOW_FRAMES
    last = min((high - 1) * hop + size, waveform.count)
    samples = array.read(waveform.first + low * hop, waveform.first + last)
    samples = np.pad(samples, (0, (high - low - 1) * hop + size - len(samples)))
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[::hop] * np.hanning(size).astype(np.float32)
    bands = _bands(size, sample_rate)
    spectrum = scipy.fft.rfft(frames, axis=1)[:, : len(bands)]
    powers: np.ndarray = (np.square(spectrum.real) + np.square(spectrum.imag)) @ bands
    return powers


def _smooth(powers: np.ndarray) -> np.ndarray:
    """Return the mean over SMOOTHING hops around each, never 0."""
    window = np.hanning(SMOOTHING + 2)[1:-1].astype(np.float32)
    padded = np.pad(powers, [(SMOOTHING // 2, SMOOTHING // 2), (0, 0)])
    smooth = np.full_like(powers, 1e-3)
    for index, weight in enumerate(window):
        smooth += weight * padded[index : index + len(powers)]
    return smooth


def _bits(smooth: np.ndarray) -> np.ndarray:
    slopes = np.diff(np.log(smooth), axis=1)
    grows = np.zeros(slopes.shape, bool)
    grows[LAG:] = slopes[LAG:] > slopes[:-LAG]
    bits: np.ndarray = np.packbits(grows, axis=1).view(">u4")[:, 0].astype(np.uint32)
    return bits


@lru_cache(maxsize=4)
def _bands(size: int, sample_rate: int) -> np.ndarray:
    """Return triangular bands on a mel scale as [bins, NUM_BITS + 1]."""
    ends = 700 * np.expm1(np.linspace(np.log1p(LOWEST_HZ / 700), np.log1p(HIGHEST_HZ / 700), NUM_BITS + 3))
    bins = np.arange(int(HIGHEST_HZ * size / sample_rate) + 2) * sample_rate / size
    rising = (bins[:, None] - ends[:-2]) / (ends[1:-1] - ends[:-2])
    falling = (ends[2:] - bins[:, None]) / (ends[2:] - ends[1:-1])
    bands: np.ndarray = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    return bands
