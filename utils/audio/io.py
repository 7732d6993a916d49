"""Sound files in and out, and the changes of sound that training may apply."""

import os
import tempfile
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import soundfile
import soxr

from utils.audio.decoding import open_audio
from utils.errors import DataError

RESAMPLE_QUALITY = "HQ"
CANCELLED_SHARE = 0.01  # a mix that keeps less than this part of the loudest channel's energy has cancelled itself


def load_audio(
    path: Path | str, sample_rate: int, *, offset_seconds: float = 0.0, duration_seconds: float | None = None
) -> np.ndarray:
    """Read a sound file as mono at a rate.

    Args:
        path: any format that libsndfile or FFmpeg reads.
        sample_rate: samples per second wanted.
        offset_seconds: where to begin.
        duration_seconds: how much to read; None reads to the end.
    Returns:
        [T] float32, full scale = 1 (not clipped); NaN and infinite samples become 0. A damaged file gives what decodes.
    Raises:
        DataError: if the file is missing, is no sound, or nothing of it decodes; names both decoders.
    """
    path = Path(path)
    best = _decode(path, offset_seconds, duration_seconds, "any")
    if best.is_stuck:
        other = _decode(path, offset_seconds, duration_seconds, "ffmpeg")
        best = other if len(other.samples) > len(best.samples) else best
    if not len(best.samples):
        where = f" after {offset_seconds:g} s" if offset_seconds else ""
        raise DataError(f"{path}: nothing could be decoded{where}" + (f" ({best.problem})" if best.problem else ""))
    return resample(to_mono(best.samples), best.sample_rate, sample_rate)


class _Decoded(NamedTuple):
    samples: np.ndarray
    sample_rate: int
    problem: str | None
    is_stuck: bool


def _decode(
    path: Path, offset_seconds: float, duration_seconds: float | None, library: Literal["any", "ffmpeg"]
) -> _Decoded:
    """Read samples [T, C] of a part of a file."""
    parts: list[np.ndarray] = []
    with open_audio(path, start_seconds=offset_seconds, library=library) as decoder:
        limit = None if duration_seconds is None else round(duration_seconds * decoder.sample_rate)
        decoded = 0
        for block in decoder.blocks():
            parts.append(block)
            decoded += len(block)
            if limit is not None and decoded >= limit:
                break
        samples = np.concatenate(parts)[:limit] if parts else np.zeros((0, decoder.num_channels), np.float32)
        return _Decoded(samples, decoder.sample_rate, decoder.problem, decoder.is_stuck)


def save_audio(path: Path | str, audio: np.ndarray, sample_rate: int) -> int:
    """Write a mono 16-bit PCM WAV file atomically.

    Args:
        path: the file; its folder is made when missing.
        audio: [T] float32, full scale = 1.
        sample_rate: samples per second.
    Returns:
        The number of samples that were beyond full scale and had to be clipped.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.asarray(audio, dtype=np.float32)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".wav")
    try:
        with os.fdopen(handle, "wb") as stream:
            soundfile.write(stream, float_to_int16(samples), sample_rate, format="WAV", subtype="PCM_16")
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return int(np.count_nonzero(np.abs(samples) > 1.0))


def augment_audio(
    audio: np.ndarray,
    sample_rate: int,
    rng: np.random.Generator,
    *,
    gain_range_db: tuple[float, float] = (-6.0, 3.0),
    noise_snr_range_db: tuple[float, float] | None = (20.0, 60.0),
    speed_range: tuple[float, float] = (1.0, 1.0),
) -> np.ndarray:
    """Change level, noise floor and speed at random.

    Args:
        audio: [T] float32.
        sample_rate: samples per second.
        rng: the only source of randomness.
        gain_range_db: the level change is uniform in this range.
        noise_snr_range_db: white noise that far below the signal's level; None adds none.
        speed_range: playback speed; pitch and formants move with it.
    Returns:
        [T / speed] float32; silence stays silence. May exceed full scale.
    """
    speed = rng.uniform(*speed_range)
    # only the ratio matters to the resampler, so the rates need not be whole numbers
    changed = audio
    if speed != 1.0:
        changed = soxr.resample(audio, sample_rate * speed, sample_rate, quality=RESAMPLE_QUALITY)
    changed = changed.astype(np.float32) * np.float32(10 ** (rng.uniform(*gain_range_db) / 20))
    if noise_snr_range_db is not None and len(changed):
        level = np.sqrt(np.mean(np.square(changed)))
        noise = rng.standard_normal(len(changed), dtype=np.float32)
        changed = changed + noise * np.float32(level * 10 ** (-rng.uniform(*noise_snr_range_db) / 20))
    return changed


def resample(audio: np.ndarray, source_rate: int, target_rate: int) -> np.ndarray:
    """Return [T * target / source] float32 from [T] by soxr's high quality; equal rates return the input."""
    if source_rate == target_rate or not len(audio):
        return np.asarray(audio, dtype=np.float32)
    return soxr.resample(np.asarray(audio, dtype=np.float32), source_rate, target_rate, quality=RESAMPLE_QUALITY)


def to_mono(samples: np.ndarray, channel: int | None = None) -> np.ndarray:
    """Mix channels to one.

    Args:
        samples: [T, C] float32; values that are not finite become 0.
        channel: take this one only; None takes the mean, or the loudest channel where the mean cancels (a stereo file
            with one side inverted would be silence).
    Returns:
        [T] float32.
    """
    clean = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
    if channel is None:
        channel = cancelled_channel(*channel_energies(clean))
    return clean.mean(axis=1) if channel is None else clean[:, channel]


def channel_energies(samples: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the energy of each channel, [C] float64, and of their mean, of finite samples [T, C]."""
    mean = samples.mean(axis=1)
    return np.square(samples, dtype=np.float64).sum(axis=0), float(np.square(mean, dtype=np.float64).sum())


def cancelled_channel(energies: np.ndarray, mean_energy: float) -> int | None:
    """Return the loudest channel if the mean of the channels cancels, else None.

    Args:
        energies: [C], energy of each channel.
        mean_energy: energy of their mean.
    """
    loudest = int(np.argmax(energies))
    # a sound on one of C channels keeps 1/C^2 of its energy in the mean, which is no cancellation
    return loudest if mean_energy < CANCELLED_SHARE / len(energies) ** 2 * energies[loudest] else None


def float_to_int16(audio: np.ndarray) -> np.ndarray:
    """Return [T] int16 from float full scale 1, rounded; beyond full scale is clipped."""
    return np.clip(np.rint(audio * np.float32(32767.0)), -32768, 32767).astype(np.int16)


def int16_to_float(samples: np.ndarray) -> np.ndarray:
    """Return float32 from int16; the inverse of float_to_int16."""
    return samples.astype(np.float32) / np.float32(32767.0)
