"""Decode a sound file as mono at a rate, block by block, with whatever decoder and channels give most of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import soxr

from utils.audio.decoder import Library, without_broken
from utils.audio.decoding import open_audio
from utils.errors import DataError

RESAMPLE_QUALITY = "HQ"
CANCELLED_SHARE = 0.01  # a mix that keeps less than this part of the loudest channel's energy has cancelled itself
MOST_BROKEN, FEW = 0.2, 100  # share of the samples, beyond a few: a file with more is none, or is scaled otherwise
BROKEN = "are not finite or beyond +60 dBFS"


class Attempt(Protocol):
    """What came of decoding a file once.

    Attributes:
        library: that decoded it.
        num_samples: how much there was.
        is_stuck: whether the decoder gave up before the end.
        cancelled: the channel to use alone where the mean of the channels cancels; None where it does not.
    """

    @property
    def library(self) -> str: ...
    @property
    def num_samples(self) -> int: ...
    @property
    def is_stuck(self) -> bool: ...
    @property
    def cancelled(self) -> int | None: ...


SomeAttempt = TypeVar("SomeAttempt", bound=Attempt)


class Best(NamedTuple, Generic[SomeAttempt]):
    """The attempt that counts, the library it was asked of, and the channel that it took; None for their mean."""

    attempt: SomeAttempt
    library: Library
    channel: int | None


def best_attempt(decode: Callable[[Library, int | None], SomeAttempt]) -> Best[SomeAttempt]:
    """Decode with libsndfile, with ffmpeg where libsndfile gives up, and again where the channels cancel.

    Args:
        decode: decodes the file with a library, and one channel or, for None, the mean of all; what it collects
            replaces what it collected before.
    """
    library: Library = "any"
    best = decode(library, None)
    if best.is_stuck and best.library == "libsndfile":
        try:
            other = decode("ffmpeg", None)
        except DataError:
            other = None
        if other is not None and other.num_samples >= best.num_samples:
            best, library = other, "ffmpeg"
        else:  # what was collected is the other's
            best = decode(library, None)
    channel = best.cancelled
    return Best(best if channel is None else decode(library, channel), library, channel)


@dataclass(frozen=True, kw_only=True)
class MonoSource:
    """What a file was before it became mono at another rate.

    Attributes:
        library: that decoded it.
        sample_rate: its own.
        num_channels: its own.
        num_samples: decoded, at its own rate.
        is_stuck: whether the decoder gave up before the end.
        cancelled: see Attempt.
        problem: what is wrong with the file although some of it could be read; None when nothing is.
    """

    library: str
    sample_rate: int
    num_channels: int
    num_samples: int
    is_stuck: bool
    cancelled: int | None
    problem: str | None


class MonoSink(Protocol):
    """Collects mono float32 in blocks."""

    def clear(self) -> None:
        """Forget what was collected."""
        ...

    def append(self, block: np.ndarray, /) -> object:
        """Take the next samples [n]."""
        ...


def decode_mono(
    path: Path,
    sample_rate: int,
    sink: MonoSink,
    *,
    offset_seconds: float = 0.0,
    duration_seconds: float | None = None,
    channel: int | None = None,
) -> MonoSource:
    """Decode a file as mono at a rate into a sink. Samples that are no numbers or beyond +60 dBFS become 0.

    Args:
        path: any format that libsndfile or FFmpeg reads.
        sample_rate: samples per second wanted.
        sink: receives [n] float32, full scale = 1 (not clipped).
        offset_seconds: where to begin.
        duration_seconds: how much to read; None reads to the end.
        channel: take this one alone; None takes the mean, or the loudest where that cancels.
    Raises:
        DataError: if the file is missing, is no sound, beyond the limits, or nothing of it decodes.
    """

    def decode(library: Library, one: int | None) -> MonoSource:
        sink.clear()
        part = _Part(offset_seconds, duration_seconds, library, one if channel is None else channel)
        return _decode_once(path, sample_rate, sink, part)

    found = best_attempt(decode).attempt
    if not found.num_samples:
        where = f" after {offset_seconds:g} s" if offset_seconds else ""
        raise DataError(f"{path}: nothing could be decoded{where}" + (f" ({found.problem})" if found.problem else ""))
    return found


class _Part(NamedTuple):
    offset_seconds: float
    duration_seconds: float | None
    library: Library
    channel: int | None


def _decode_once(path: Path, sample_rate: int, sink: MonoSink, part: _Part) -> MonoSource:
    with open_audio(path, start_seconds=part.offset_seconds, library=part.library) as decoder:
        rate = decoder.sample_rate
        limit = None if part.duration_seconds is None else round(part.duration_seconds * rate)
        resampler = None
        if rate != sample_rate:
            resampler = soxr.ResampleStream(rate, sample_rate, 1, dtype="float32", quality=RESAMPLE_QUALITY)
        mixer = Mixer(decoder.num_channels, rate, part.channel)
        for block in decoder.blocks():
            mono = mixer.mix(block if limit is None else block[: limit - mixer.num_samples])
            sink.append(mono if resampler is None else resampler.resample_chunk(mono))
            if limit is not None and mixer.num_samples >= limit:
                break
        if resampler is not None:
            sink.append(resampler.resample_chunk(np.zeros(0, np.float32), last=True))
        if mixer.is_mostly_broken:
            raise DataError(f"{path} is no recording: {mixer.num_broken} of {mixer.num_samples} samples {BROKEN}")
        broken = f"{mixer.num_broken} samples {BROKEN}: set to 0" if mixer.num_broken else None
        return MonoSource(
            library=decoder.name,
            sample_rate=rate,
            num_channels=decoder.num_channels,
            num_samples=mixer.num_samples,
            is_stuck=decoder.is_stuck,
            cancelled=mixer.cancelled(),
            problem="; ".join(filter(None, (decoder.problem, broken))) or None,
        )


class Mixer:
    """Makes mono of blocks of channels, and notes what is broken in them.

    Args:
        num_channels: of the blocks.
        sample_rate: of the blocks.
        channel: take this one only; None takes the mean.
    Attributes:
        num_samples: how many came.
        num_broken: of them those that are no numbers or beyond +60 dBFS in some channel.
        broken: the stretches [first, end) from one such sample to the next, where they are less than 50 ms apart.
    """

    def __init__(self, num_channels: int, sample_rate: int, channel: int | None = None) -> None:
        self.num_samples = 0
        self.num_broken = 0
        self.broken: list[tuple[int, int]] = []
        self._gap = sample_rate // 20
        self._channel = channel
        self._energies = np.zeros(num_channels)
        self._mean_energy = 0.0

    def mix(self, block: np.ndarray) -> np.ndarray:
        """Return [n] float32 from [n, C]; broken samples are 0."""
        clean, broken = without_broken(block)
        if broken is not None:
            self._note(np.flatnonzero(broken) + self.num_samples)
        self.num_samples += len(block)
        if self._channel is not None or clean.shape[1] == 1:
            return np.ascontiguousarray(clean[:, self._channel or 0])
        mean = clean.mean(axis=1)
        self._energies += np.square(clean, dtype=np.float64).sum(axis=0)
        self._mean_energy += float(np.square(mean, dtype=np.float64).sum())
        return mean

    def cancelled(self) -> int | None:
        """Return the channel to use if the mean of the channels cancels, else None."""
        if self._channel is not None or len(self._energies) == 1:
            return None
        loudest = int(np.argmax(self._energies))
        # a sound on one of C channels keeps 1/C^2 of its energy in the mean, which is no cancellation
        least = CANCELLED_SHARE / len(self._energies) ** 2 * self._energies[loudest]
        return loudest if self._mean_energy < least else None

    @property
    def is_mostly_broken(self) -> bool:
        """Whether so much is broken that nothing of it can be trusted."""
        return self.num_broken > max(FEW, MOST_BROKEN * self.num_samples)

    def _note(self, positions: np.ndarray) -> None:
        """Enter the positions of broken samples, in order."""
        self.num_broken += len(positions)
        for part in np.split(positions, np.flatnonzero(np.diff(positions) > self._gap) + 1):
            first, end = int(part[0]), int(part[-1]) + 1
            if self.broken and first - self.broken[-1][1] < self._gap:
                first = self.broken.pop()[0]
            self.broken.append((first, end))
