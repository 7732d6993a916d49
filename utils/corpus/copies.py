"""Find recordings that hold the same sound: copies in another format, at another level, cut from one another.

Prints find where two recordings may sound alike; their samples tell whether they do.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import scipy.fft

from utils.corpus.sound_print import HIGHEST_HZ, HOPS_PER_SECOND, NUM_BITS, UNKNOWN

MOST_EQUAL = 32  # places with the same bits that are compared with each other
FEWEST_HITS = 2  # equal bits at the same distance that make two recordings worth comparing
WINDOW = HOPS_PER_SECOND  # hops over which bits are compared
LARGEST_ERROR = 0.15  # share of bits that differ; of copies at most a tenth, of other speech more than a third
LEAST_KNOWN = 0.5  # share of a window that is not quiet
SHORTEST_HOPS = 25
SHORTEST_SHARE = 0.2  # of the shorter recording
LEAST_CORRELATION = 0.85  # of samples; of copies nearly always more than 0.9, of other speech less than 0.5
COMPARED_HOPS = 100
MOST_LAG_HOPS = 2


class Stretch(NamedTuple):
    """Hops [first, first + length) of one recording that sound like as many of another one from `second` on."""

    first: int
    second: int
    length: int


class Copy(NamedTuple):
    """Two recordings that share sound, by their places in a list."""

    first: int
    second: int
    stretches: tuple[Stretch, ...]

    @property
    def seconds(self) -> float:
        """How long the sound is that they share."""
        return sum(stretch.length for stretch in self.stretches) / HOPS_PER_SECOND

    def in_other(self, index: int, low: int) -> tuple[int, list[tuple[int, int]]]:
        """Return the other recording, and where it has what lies behind hop `low` of recording `index`."""
        found = []
        for first, second, length in self.stretches:
            here, there = (first, second) if index == self.first else (second, first)
            start = max(here, low)
            if start < here + length:
                found.append((there + start - here, there + length))
        return (self.second if index == self.first else self.first), found


def find_copies(prints: Sequence[np.ndarray], read: Callable[[int, int, int], np.ndarray], rate: int) -> list[Copy]:
    """Return the pairs of recordings that share sound.

    Args:
        prints: of the recordings, see sound_print.
        read: gives the samples of a recording from one hop to another.
        rate: of the samples.
    """
    shared: dict[tuple[int, int], list[Stretch]] = defaultdict(list)
    for first, second, shift in _candidates(prints):
        shared[first, second] += _stretches(prints[first], prints[second], shift)
    found = []
    for (first, second), stretches in shared.items():

        def is_same(stretch: Stretch, first: int = first, second: int = second) -> bool:
            skipped = max(0, stretch.length - COMPARED_HOPS) // 2
            length = min(stretch.length, COMPARED_HOPS)
            here, there = stretch.first + skipped, stretch.second + skipped
            one, other = read(first, here, here + length), read(second, there, there + length)
            return correlation(one, other, rate) >= LEAST_CORRELATION

        copy = Copy(first, second, tuple(filter(is_same, _apart(stretches))))
        shorter = min(len(prints[first]), len(prints[second])) / HOPS_PER_SECOND
        if copy.stretches and copy.seconds >= SHORTEST_SHARE * shorter:
            found.append(copy)
    return found


def correlation(first: np.ndarray, second: np.ndarray, rate: int) -> float:
    """Return the largest correlation of two sounds of the same length over small lags, from 0 to 1.

    Args:
        first: [T] samples.
        second: [T] samples.
        rate: of both.
    """
    size = 1 << (2 * len(first) - 1).bit_length()
    kept = round(HIGHEST_HZ / rate * size)  # what codecs leave as it is
    spectra = []
    for samples in (first, second):
        # differences: as much of high frequencies as of low ones, where hum may be
        spectrum = scipy.fft.rfft(np.diff(samples.astype(np.float32)), size)
        spectrum[kept:] = 0
        spectra.append(spectrum)
    energies = [float(np.square(np.abs(spectrum)).sum()) for spectrum in spectra]
    products = scipy.fft.irfft(spectra[0] * spectra[1].conj(), size)
    most = rate * MOST_LAG_HOPS // HOPS_PER_SECOND
    peak = float(np.abs(np.concatenate([products[: most + 1], products[-most:]])).max())
    # Parseval: the sum over half of a spectrum is size / 2 times that over samples
    return peak * size / 2 / (energies[0] * energies[1] + 1e-9) ** 0.5


def groups_of(count: int, copies: Sequence[Copy]) -> list[int]:
    """Return for each of `count` recordings the first one with which copies connect it: its group."""
    parent = list(range(count))

    def root(index: int) -> int:
        while parent[index] != index:
            index = parent[index]
        return index

    for copy in copies:
        one, other = sorted((root(copy.first), root(copy.second)))
        parent[other] = one
    return [root(index) for index in range(count)]


def _candidates(prints: Sequence[np.ndarray]) -> Iterator[tuple[int, int, int]]:
    """Yield pairs of recordings and how many hops later their common sound comes in the second one."""
    bits = np.concatenate([np.zeros(0, np.uint32), *prints])
    owners = np.repeat(np.arange(len(prints)), [len(item) for item in prints])
    places = np.concatenate([np.zeros(0, np.int64), *(np.arange(len(item)) for item in prints)])
    order = np.argsort(bits, kind="stable")
    order = order[np.searchsorted(bits[order], UNKNOWN, side="right") :]
    hits = [np.zeros((0, 3), np.int64)]
    for distance in range(1, MOST_EQUAL):
        here, there = order[:-distance], order[distance:]
        is_equal = bits[here] == bits[there]
        if not is_equal.any():
            break
        is_equal &= owners[here] != owners[there]
        here, there = here[is_equal], there[is_equal]
        hits.append(np.stack([owners[here], owners[there], places[there] - places[here]], axis=1))
    rows, counts = np.unique(np.concatenate(hits), axis=0, return_counts=True)
    yield from map(tuple, rows[counts >= FEWEST_HITS].tolist())


def _stretches(first: np.ndarray, second: np.ndarray, shift: int) -> list[Stretch]:
    """Return where the first recording sounds like the second one `shift` hops later."""
    start, end = max(0, -shift), min(len(first), len(second) - shift)
    size = min(WINDOW, end - start)
    if size < SHORTEST_HOPS:
        return []
    one, other = first[start:end], second[start + shift : end + shift]
    known = (one != UNKNOWN) & (other != UNKNOWN)
    wrong = np.where(known, np.bitwise_count(one ^ other), 0)
    wrong_sum, known_sum = (np.convolve(values, np.ones(size), "valid") for values in (wrong, known))
    is_equal = (known_sum >= LEAST_KNOWN * size) & (wrong_sum <= LARGEST_ERROR * NUM_BITS * known_sum)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], is_equal, [False]]).astype(np.int8))).tolist()
    return [
        Stretch(start + low, start + low + shift, high - low + size - 1)
        for low, high in zip(edges[::2], edges[1::2], strict=True)
    ]


def _apart(stretches: list[Stretch]) -> tuple[Stretch, ...]:
    """Leave out what others cover: neighbouring shifts find the same sound."""
    kept: list[Stretch] = []
    end = 0
    for item in sorted(stretches, key=lambda stretch: (stretch.first, -stretch.length)):
        skip = max(0, end - item.first)
        if skip < item.length:
            kept.append(Stretch(item.first + skip, item.second + skip, item.length - skip))
            end = item.first + item.length
    return tuple(kept)
