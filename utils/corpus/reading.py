"""Read one recording: mono, resample, high-pass, one gain, clips. Bounded memory however long the file is."""

import hashlib
import math
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import soxr
from scipy.signal import butter, sosfilt

from utils.audio.decoding import open_audio
from utils.audio.frames import FRAME_RATE, num_frames
from utils.audio.io import RESAMPLE_QUALITY, cancelled_channel, channel_energies, float_to_int16, to_mono
from utils.config import AudioConfig
from utils.config.preprocess import PreprocessSettings
from utils.corpus.arrays import new_array
from utils.corpus.leveling import LoudnessMeter, file_gain_db
from utils.corpus.slicing import Span, find_clips
from utils.errors import DataError

SPOOL_BYTES = 64 << 20  # longer recordings wait on disk between the two passes
HIGHPASS_ORDER = 4
SHORTEST_SECONDS = 0.05
LEVEL_FLOOR = 1e-12  # mean power of a silent frame, -120 dB
CLIPPED_LEVEL = 0.999


@dataclass
class Recording:
    """What was found in one file; the waveform of its clips lies in an array beside it.

    Attributes:
        problem: why nothing of it is used; None if it is.
        notes: what the user should know although it is used.
        checksum: SHA-256 of the decoded samples: equal for copies in another lossless format.
        seconds: length of the recording.
        decoder: the library that read it.
        loudness_lufs: integrated loudness before the gain; None where silent.
        gain_db: the gain of the whole file.
        clips: frames [first, end) of each clip in the recording.
        num_samples: length at the dataset's rate; the last clip may end beyond it, padded with zeros.
    """

    problem: str | None = None
    notes: list[str] = field(default_factory=list)
    checksum: str = ""
    seconds: float = 0.0
    decoder: str = ""
    loudness_lufs: float | None = None
    gain_db: float = 0.0
    clips: list[Span] = field(default_factory=list)
    num_samples: int = 0

    @property
    def num_frames(self) -> int:
        """Frames of all clips together."""
        return sum(clip.length for clip in self.clips)

    def to_plain(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self) | {"clips": [[clip.first, clip.end] for clip in self.clips]}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "Recording":
        """Rebuild from to_plain."""
        return cls(**plain | {"clips": [Span(first, end) for first, end in plain["clips"]]})


def read_recording(path: Path, audio: AudioConfig, settings: PreprocessSettings, output: Path) -> Recording:
    """Read a file and write the waveform of its clips, int16 [sum of frames * hop_length], to an array.

    Steps: decode; mean of the channels; resample (soxr HQ); Butterworth high-pass of order 4; loudness of the whole
    file (BS.1770-4 integrated); one gain for the whole file to preprocess.loudness_lufs, limited so that the peak stays
    under preprocess.peak_db; cut at silences.

    Args:
        path: the recording.
        audio: rate and hop of the result.
        settings: the `preprocess` keys.
        output: the .npy file to make; not made when nothing is usable.
    Returns:
        The description; its `problem` says why nothing is usable.
    Raises:
        DataError: if nothing can be decoded.
    """
    with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as spool:
        conditioned = _condition_best(path, _Target(audio, settings, spool))
        recording = conditioned.recording
        if recording.problem is None:
            recording.clips = find_clips(conditioned.levels_db, settings)
            if not recording.clips:
                recording.problem = "silent: no frame rises above the noise"
        if recording.problem is None:
            _write_clips(recording, spool, audio.hop_length, output)
    return recording


@dataclass(frozen=True)
class _Target:
    """Where and how to condition: the spool receives mono float32 at the rate of `audio`."""

    audio: AudioConfig
    settings: PreprocessSettings
    spool: IO[bytes]


@dataclass
class _Conditioned:
    recording: Recording
    levels_db: np.ndarray
    cancelled: int | None
    is_stuck: bool


def _condition_best(path: Path, target: _Target) -> _Conditioned:
    """Decode with libsndfile, with ffmpeg where libsndfile gives up, and again where the channels cancel."""
    library: Literal["any", "ffmpeg"] = "any"
    best = _condition(path, target, library)
    if best.is_stuck and best.recording.decoder == "libsndfile":
        try:
            other = _condition(path, target, "ffmpeg")
        except DataError:
            other = None
        if other is not None and other.recording.num_samples >= best.recording.num_samples:
            best, library = other, "ffmpeg"
            if not best.recording.notes:
                best.recording.notes.append("libsndfile cannot read it to its end: decoded by ffmpeg")
        else:  # the spool holds the other's samples
            best = _condition(path, target, library)
    if best.recording.num_samples == 0:
        raise DataError("nothing can be decoded" + "".join(f" ({note})" for note in best.recording.notes[:1]))
    if best.cancelled is not None:
        channel = best.cancelled
        best = _condition(path, target, library, channel)
        best.recording.notes.append(f"the channels cancel each other: channel {channel + 1} alone is used")
    return best


def _condition(
    path: Path, target: _Target, library: Literal["any", "ffmpeg"], channel: int | None = None
) -> _Conditioned:
    """Write the mono, resampled and filtered signal, float32, to the spool and measure it on the way."""
    target.spool.seek(0)
    target.spool.truncate()
    digest = hashlib.sha256()
    with open_audio(path, library=library) as decoder:
        stage = _Stage(decoder.sample_rate, target)
        tally = _ChannelTally(decoder.num_channels)
        for block in decoder.blocks():
            mono = to_mono(tally.take(block), channel) if channel is not None else tally.mean(block)
            digest.update(float_to_int16(mono).tobytes())
            stage.push(mono)
        stage.finish()
        recording = Recording(
            seconds=round(tally.num_samples / decoder.sample_rate, 3),
            decoder=decoder.name,
            checksum=hashlib.sha256(f"{decoder.sample_rate}:{digest.hexdigest()}".encode()).hexdigest(),
            num_samples=stage.num_samples,
            notes=[note for note in (decoder.problem, *tally.notes()) if note],
        )
        cancelled = tally.cancelled() if channel is None else None
        _level(recording, stage.meter, target.settings)
        levels = stage.levels_db(recording.loudness_lufs or 0.0)
        return _Conditioned(recording, levels, cancelled, decoder.is_stuck)


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


class _ChannelTally:
    """Counts what is odd about a file's samples while they pass."""

    def __init__(self, num_channels: int) -> None:
        self.num_samples = 0
        self._energies = np.zeros(num_channels)
        self._mean_energy = 0.0
        self._num_bad = 0
        self._num_clipped = 0

    def take(self, block: np.ndarray) -> np.ndarray:
        """Count a block [n, C] and return it with finite samples only."""
        self.num_samples += len(block)
        bad = ~np.isfinite(block)
        if bad.any():
            self._num_bad += int(bad.any(axis=1).sum())
            block = np.where(bad, np.float32(0), block)
        self._num_clipped += int((np.abs(block) >= CLIPPED_LEVEL).any(axis=1).sum())
        return block

    def mean(self, block: np.ndarray) -> np.ndarray:
        """Count a block [n, C] and return the mean of its channels [n]."""
        block = self.take(block)
        if block.shape[1] == 1:
            return block[:, 0]
        energies, mean_energy = channel_energies(block)
        self._energies += energies
        self._mean_energy += mean_energy
        return block.mean(axis=1)

    def cancelled(self) -> int | None:
        """Return the channel to use if the mean of the channels cancels, else None."""
        return cancelled_channel(self._energies, self._mean_energy) if len(self._energies) > 1 else None

    def notes(self) -> list[str]:
        """Return what the user should know."""
        notes = [f"{self._num_bad} samples are not finite: set to 0"] if self._num_bad else []
        if self._num_clipped > 10 + self.num_samples // 10000:
            share = 100 * self._num_clipped / self.num_samples
            notes.append(f"{share:.2g} % of the samples are at full scale (clipped)")
        return notes


class _Stage:
    """Resample, filter, measure and spool a signal that arrives in blocks."""

    def __init__(self, source_rate: int, target: _Target) -> None:
        rate, highpass_hz = target.audio.sample_rate, target.settings.highpass_hz
        self._resampler = None
        if source_rate != rate:
            self._resampler = soxr.ResampleStream(source_rate, rate, 1, dtype="float32", quality=RESAMPLE_QUALITY)
        self._highpass = None
        if highpass_hz:
            self._highpass = butter(HIGHPASS_ORDER, highpass_hz, "highpass", fs=rate, output="sos")
        self._state = np.zeros((HIGHPASS_ORDER // 2, 2))
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


def _write_clips(recording: Recording, spool: IO[bytes], hop_length: int, output: Path) -> None:
    gain = np.float32(10 ** (recording.gain_db / 20))
    assert recording.clips[-1].end <= num_frames(recording.num_samples, hop_length)
    with new_array(output, (recording.num_frames * hop_length,), np.int16) as target:
        position = 0
        for clip in recording.clips:
            spool.seek(clip.first * hop_length * 4)
            samples = np.frombuffer(spool.read(clip.length * hop_length * 4), dtype=np.float32)
            target[position : position + len(samples)] = float_to_int16(samples * gain)
            position += clip.length * hop_length


def clip_seconds(recording: Recording, clip: Span, sample_rate: int) -> float:
    """Return the length of a clip without the zeros behind the end of the recording."""
    return min(clip.length / FRAME_RATE, recording.num_samples / sample_rate - clip.first / FRAME_RATE)
