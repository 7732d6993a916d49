"""Figures of a graph and of what it made: speed, length rule, level, clipping, pitch."""

import importlib.util
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from utils.errors import ConfigError, FormatError
from utils.inference.session import VoiceSession
from utils.voice_file.controls import find_control

MIN_VOICED_FRAMES = 10
MIN_VOICED_SHARE = 0.05
VOICED = 0.5
SPEED_SECONDS = 5.0
REPEATS = 3
BLOCK_SECONDS = 0.1
NUM_BLOCKS = 20
FLOOR_DB = -120.0
TRACKER_RATE = 16000


@dataclass(frozen=True)
class Pitch:
    """Fundamental frequency of frames of 16 ms: f0_hz [F], 0 where unvoiced."""

    f0_hz: np.ndarray

    @property
    def median_hz(self) -> float | None:
        """Median over voiced frames; None without any."""
        voiced = self.f0_hz[self.f0_hz > 0]
        return float(np.median(voiced)) if len(voiced) else None


@dataclass(frozen=True, kw_only=True)
class PitchAgreement:
    """How the pitch of the output follows that of the input.

    Attributes:
        correlation: of log frequency over frames voiced in both; None with fewer than 10 or no movement.
        shift_semitones: median difference over those frames; None without any.
        error_cents: median distance from the source's frequency moved by shift_semitones; None without any.
        voicing_agreement: share of frames in which both are voiced or both are not.
        num_frames: frames voiced in both.
    """

    correlation: float | None
    shift_semitones: float | None
    error_cents: float | None
    voicing_agreement: float
    num_frames: int


@dataclass(frozen=True, kw_only=True)
class Level:
    """Level of audio; dB are relative to full scale, not below -120."""

    rms_db: float
    peak_db: float
    num_clipped: int


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Processing time over audio time, and the slowest of some blocks of 100 ms in milliseconds."""

    num_threads: int
    real_time_factor: float
    block_milliseconds: float


class PitchMeter:
    """Tracks pitch with the SwiftF0 network in onnxruntime; make one and use it for all files."""

    def __init__(self) -> None:
        if importlib.util.find_spec("swift_f0") is None:
            raise ConfigError("measuring pitch needs the package swift-f0; type: pip install swift-f0==0.3.0")
        from swift_f0 import SwiftF0

        self._detector = SwiftF0(threads=1, spin=False)

    def track(self, audio: np.ndarray, sample_rate: int) -> Pitch:
        """Track [T] float32 at a rate; audio that is too short for it has no frames."""
        if len(audio) * TRACKER_RATE < sample_rate:
            return Pitch(np.zeros(0))
        result = self._detector.detect(np.nan_to_num(audio), sample_rate)
        return Pitch(np.where(result.confidence >= VOICED, result.pitch_hz, 0.0))


def compare_pitch(source: Pitch, converted: Pitch) -> PitchAgreement:
    """Compare the pitch of two recordings of the same length."""
    count = min(len(source.f0_hz), len(converted.f0_hz))
    before, after = source.f0_hz[:count], converted.f0_hz[:count]
    both = (before > 0) & (after > 0)
    agreement = float(np.mean((before > 0) == (after > 0))) if count else 1.0
    if not both.any():
        return PitchAgreement(
            correlation=None, shift_semitones=None, error_cents=None, voicing_agreement=agreement, num_frames=0
        )
    low, high = np.log2(before[both]), np.log2(after[both])
    moves = both.sum() >= MIN_VOICED_FRAMES and low.std() > 1e-6 and high.std() > 1e-6
    return PitchAgreement(
        correlation=float(np.corrcoef(low, high)[0, 1]) if moves else None,
        shift_semitones=float(12 * np.median(high - low)),
        error_cents=float(1200 * np.median(np.abs(high - low - np.median(high - low)))),
        voicing_agreement=agreement,
        num_frames=int(both.sum()),
    )


def automatic_shift(source: Pitch, target_median_hz: float, step: int = 1) -> int:
    """Return the semitones from the median of a source to a target's, a multiple of `step`; see is_pitch_known.

    Whole semitones keep a song in tune with equal temperament; whole octaves (12) keep it in its key.
    """
    median_hz = source.median_hz
    if median_hz is None or target_median_hz <= 0 or not is_pitch_known(source):
        return 0
    return step * round(12 * math.log2(target_median_hz / median_hz) / step)


def is_pitch_known(pitch: Pitch) -> bool:
    """Say whether enough is voiced for a median to mean something: 5 % of the frames, and at least ten."""
    voiced = int(np.count_nonzero(pitch.f0_hz))
    return voiced >= max(MIN_VOICED_FRAMES, MIN_VOICED_SHARE * len(pitch.f0_hz))


def limited_shift(semitones: float) -> float:
    """Return the semitones cut to what a graph accepts."""
    control = find_control("pitch_shift")
    return min(max(semitones, control.low), control.high)


def measure_level(audio: np.ndarray) -> Level:
    """Measure [T] float32 with full scale 1; a sample is clipped when it is beyond full scale."""
    meter = LevelMeter()
    meter.add(audio)
    return meter.level


class LevelMeter:
    """Measures the level of audio that comes in pieces."""

    def __init__(self) -> None:
        self._powers: list[tuple[float, int]] = []
        self._peak = 0.0
        self._num_clipped = 0

    def add(self, audio: np.ndarray) -> None:
        """Take the next piece [T], float32, full scale = 1; a sample is clipped when it is beyond full scale."""
        samples = np.abs(audio.astype(np.float64))
        self._peak = max(self._peak, float(samples.max(initial=0.0)))
        self._num_clipped += int(np.count_nonzero(samples > 1.0))
        self._powers.append((float(np.mean(np.square(samples, out=samples))) if len(samples) else 0.0, len(samples)))

    @property
    def rms(self) -> float:
        """Root mean square of all pieces; 0 without any."""
        return math.sqrt(_mean(self._powers))

    @property
    def level(self) -> Level:
        """Level of all pieces."""
        return Level(rms_db=_decibels(self.rms), peak_db=_decibels(self._peak), num_clipped=self._num_clipped)


def measure_speed(session: VoiceSession, audio: np.ndarray) -> Speed:
    """Time a session on up to 5 s of [T] audio (repeated when shorter) and on blocks of 100 ms."""
    rate = session.sample_rate
    samples = np.resize(audio, round(SPEED_SECONDS * rate)) if len(audio) else np.zeros(rate, np.float32)
    session.run(samples)
    whole = min(_seconds(session, samples) for _ in range(REPEATS))
    block = round(BLOCK_SECONDS * rate)
    session.run(samples[:block])
    blocks = [_seconds(session, samples[start : start + block]) for start in range(0, NUM_BLOCKS * block, block)]
    return Speed(
        num_threads=session.num_threads,
        real_time_factor=whole / (len(samples) / rate),
        block_milliseconds=1000 * max(blocks),
    )


def wrong_lengths(session: VoiceSession) -> list[int]:
    """Return the lengths, of a list from one sample to 200 ms, at which the output has another or the graph fails."""
    hop = session.sample_rate // 100
    lengths = sorted({1, 2, 3, 17, hop - 1, hop, hop + 1, 10 * hop, 4410, 4800, 7919, 20 * hop})
    noise = 0.1 * np.random.default_rng(0).standard_normal(max(lengths)).astype(np.float32)
    return [length for length in lengths if not _keeps_length(session, noise[:length])]


def _keeps_length(session: VoiceSession, audio: np.ndarray) -> bool:
    try:
        return len(session.run(audio)) == len(audio)
    except FormatError:
        return False


def _seconds(session: VoiceSession, audio: np.ndarray) -> float:
    started = time.perf_counter()
    session.run(audio)
    return time.perf_counter() - started


def _decibels(value: float) -> float:
    return max(FLOOR_DB, 20 * math.log10(value)) if value > 0 else FLOOR_DB


def _mean(values: Sequence[tuple[float, int]]) -> float:
    """Return the mean of (value, weight); 0 without weight."""
    total = sum(weight for _, weight in values)
    return sum(value * (weight / total) for value, weight in values) if total else 0.0
