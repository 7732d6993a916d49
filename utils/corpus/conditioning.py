"""Decode one recording and make it mono, resampled, filtered and measured, block by block in bounded memory."""

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import soxr
from scipy.signal import sosfilt

from utils.audio.decoder import Library, without_broken
from utils.audio.decoding import open_audio
from utils.audio.frames import FRAME_RATE
from utils.audio.highpass import ORDER, highpass_sections
from utils.audio.io import float_to_int16
from utils.audio.mono import BROKEN, RESAMPLE_QUALITY, Mixer
from utils.config import AudioConfig
from utils.config.preprocess import PreprocessSettings
from utils.corpus.leveling import LoudnessMeter, file_gain_db
from utils.corpus.recording import Recording
from utils.corpus.slicing import Span

SHORTEST_SECONDS = 0.05
LEVEL_FLOOR = 1e-12  # mean power of a silent frame, -120 dB
CLIPPED_LEVEL = 0.999
BROKEN_MARGIN = 3  # frames to each side


@dataclass(frozen=True)
class ConditioningTarget:
    """Where and how to condition: the spool receives mono float32 at the rate of `audio`."""

    audio: AudioConfig
    settings: PreprocessSettings
    spool: IO[bytes]


@dataclass
class Conditioned:
    """A recording that lies in the spool.

    Attributes:
        recording: what was found, without clips.
        levels_db: [F] level of each frame relative to the loudness of the file.
        cancelled: the channel to use alone where the mean of the channels cancels; None where it does not.
        is_stuck: whether the decoder gave up before the end.
        broken: frames of which some sample is no number or beyond +60 dBFS.
    """

    recording: Recording
    levels_db: np.ndarray
    cancelled: int | None
    is_stuck: bool
    broken: list[Span]

    @property
    def library(self) -> str:
        """The library that decoded it."""
        return self.recording.decoder

    @property
    def num_samples(self) -> int:
        """How much there was, at the dataset's rate."""
        return self.recording.num_samples


def condition(path: Path, target: ConditioningTarget, library: Library, channel: int | None = None) -> Conditioned:
    """Write the mono, resampled and filtered signal, float32, to the spool and measure it on the way."""
    target.spool.seek(0)
    target.spool.truncate()
    digest = hashlib.sha256()
    with open_audio(path, library=library) as decoder:
        chain = _SignalChain(decoder.sample_rate, target)
        channels = _ChannelStatistics(Mixer(decoder.num_channels, decoder.sample_rate, channel))
        for block in decoder.blocks():
            mono = channels.take(block)
            digest.update(float_to_int16(mono).tobytes())
            chain.push(mono)
        chain.finish()
        recording = Recording(
            seconds=round(channels.mixer.num_samples / decoder.sample_rate, 3),
            decoder=decoder.name,
            checksum=hashlib.sha256(f"{decoder.sample_rate}:{digest.hexdigest()}".encode()).hexdigest(),
            num_samples=chain.num_samples,
            notes=[note for note in (decoder.problem, *channels.notes()) if note],
        )
        if channels.mixer.is_mostly_broken:
            mixer = channels.mixer
            recording.problem = f"no recording: {mixer.num_broken} of {mixer.num_samples} samples {BROKEN}"
        else:
            _level(recording, chain.meter, target.settings)
        levels = chain.levels_db(recording.loudness_lufs or 0.0)
        broken = _frames_of(channels.mixer.broken, decoder.sample_rate)
        return Conditioned(recording, levels, channels.mixer.cancelled(), decoder.is_stuck, broken)


def _frames_of(stretches: list[tuple[int, int]], sample_rate: int) -> list[Span]:
    """Return the frames that hold samples [first, end) at a rate, with those around that a filter reaches."""
    step = sample_rate / FRAME_RATE
    return [
        Span(max(0, int(first / step) - BROKEN_MARGIN), math.ceil(end / step) + BROKEN_MARGIN)
        for first, end in stretches
    ]


def _level(recording: Recording, meter: LoudnessMeter, settings: PreprocessSettings) -> None:
    """Enter loudness and gain, or the reason why there is nothing to level."""
    loudness = meter.loudness_lufs()
    if recording.seconds < SHORTEST_SECONDS:
        recording.problem = f"too short: {recording.seconds:.3f} s, at least {SHORTEST_SECONDS} s are needed"
    elif not math.isfinite(loudness) or meter.peak == 0:
        recording.problem = "silent: nothing is louder than -70 LUFS"
    else:
        recording.loudness_lufs = round(loudness, 3)
        recording.gain_db = file_gain_db(
            loudness,
            meter.peak,
            target_lufs=settings.loudness_lufs,
            peak_db=settings.peak_db,
            max_gain_db=settings.max_gain_db,
        )


class _ChannelStatistics:
    """Counts what is odd about a file's samples while they become mono."""

    def __init__(self, mixer: Mixer) -> None:
        self.mixer = mixer
        self._num_clipped = 0

    def take(self, block: np.ndarray) -> np.ndarray:
        """Count a block [n, C] and return it as mono [n]."""
        before = self.mixer.num_broken
        mono = self.mixer.mix(block)
        clean = block if self.mixer.num_broken == before else without_broken(block)[0]
        self._num_clipped += int((np.abs(clean) >= CLIPPED_LEVEL).any(axis=1).sum())
        return mono

    def notes(self) -> list[str]:
        """Return what the user should know."""
        mixer = self.mixer
        notes = [f"{mixer.num_broken} samples {BROKEN}: what is around them is left out"] if mixer.num_broken else []
        if self._num_clipped > 10 + mixer.num_samples // 10000:
            share = 100 * self._num_clipped / mixer.num_samples
            notes.append(f"{share:.2g} % of the samples are at full scale (clipped)")
        return notes


class _SignalChain:
    """Resample, filter, measure and spool a signal that arrives in blocks."""

    def __init__(self, source_rate: int, target: ConditioningTarget) -> None:
        rate, highpass_hz = target.audio.sample_rate, target.settings.highpass_hz
        self._resampler = None
        if source_rate != rate:
            self._resampler = soxr.ResampleStream(source_rate, rate, 1, dtype="float32", quality=RESAMPLE_QUALITY)
        self._highpass = None
        if highpass_hz:
            self._highpass = highpass_sections(highpass_hz, rate)
        self._state = np.zeros((ORDER // 2, 2))
        self._hop, self._rest, self._powers = target.audio.hop_length, np.zeros(0, np.float32), [np.zeros(0)]
        self._spool = target.spool
        self.meter = LoudnessMeter(rate)
        self.num_samples = 0

    def push(self, mono: np.ndarray, *, is_last: bool = False) -> None:
        """Take the next samples [n] at the source's rate."""
        if self._resampler is not None:
            mono = self._resampler.resample_chunk(np.ascontiguousarray(mono, dtype=np.float32), last=is_last)
        if not len(mono):
            return
        if self._highpass is not None:
            mono, self._state = sosfilt(self._highpass, mono, zi=self._state)
        mono = mono.astype(np.float32)
        self.meter.update(mono)
        self.num_samples += len(mono)
        self._spool.write(mono.tobytes())
        frames = np.concatenate([self._rest, mono])
        whole = len(frames) - len(frames) % self._hop
        self._powers.append(np.square(frames[:whole].reshape(-1, self._hop), dtype=np.float64).mean(axis=1))
        self._rest = frames[whole:]

    def finish(self) -> None:
        """Flush the resampler and close the last frame with zeros."""
        if self._resampler is not None:
            self.push(np.zeros(0, np.float32), is_last=True)
        if len(self._rest):
            self._powers.append(np.array([float(np.square(self._rest).sum()) / self._hop]))

    def levels_db(self, reference_db: float) -> np.ndarray:
        """Return the level of each frame relative to a reference, [F]."""
        return 10 * np.log10(np.concatenate(self._powers) + LEVEL_FLOOR) - reference_db
