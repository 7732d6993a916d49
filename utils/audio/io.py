"""Sound files in and out, and the changes of sound that training may apply."""

import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
import soxr

from utils.audio.mono import RESAMPLE_QUALITY, decode_mono

WAV_BYTES = 0xFFFF0000
log = logging.getLogger(__name__)


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
        [T] float32, full scale = 1 (not clipped); samples that are no numbers or beyond +60 dBFS become 0. A damaged
        file gives what decodes, with a warning in the log.
    Raises:
        DataError: if the file is missing, is no sound, beyond the limits of decoder, or nothing of it decodes.
    """
    path = Path(path)
    parts: list[np.ndarray] = []
    source = decode_mono(path, sample_rate, parts, offset_seconds=offset_seconds, duration_seconds=duration_seconds)
    if source.problem:
        log.warning("%s: %s", path, source.problem)
    return np.concatenate(parts)


def save_audio(path: Path | str, audio: np.ndarray, sample_rate: int) -> int:
    """Write a mono 16-bit PCM WAV file atomically.

    Args:
        path: the file; its folder is made when missing.
        audio: [T] float32, full scale = 1.
        sample_rate: samples per second.
    Returns:
        The number of samples that were beyond full scale and had to be clipped.
    """
    samples = np.asarray(audio, dtype=np.float32)
    with open_wav(Path(path), sample_rate, len(samples)) as write:
        write(samples)
    return int(np.count_nonzero(np.abs(samples) > 1.0))


@contextmanager
def open_wav(path: Path, sample_rate: int, num_samples: int) -> Iterator[Callable[[np.ndarray], None]]:
    """Write a mono 16-bit PCM WAV file piece by piece; it stands in its place when all is written, or not at all.

    Args:
        path: the file; its folder is made when missing.
        sample_rate: samples per second.
        num_samples: about how many there will be: beyond 4 GB the file is RF64.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = "WAV" if 2 * num_samples < WAV_BYTES else "RF64"
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".wav")
    try:
        with (
            os.fdopen(handle, "w+b") as stream,
            soundfile.SoundFile(stream, "w", sample_rate, 1, format=kind, subtype="PCM_16") as sound,
        ):
            yield lambda audio: sound.write(float_to_int16(audio))
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


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


def float_to_int16(audio: np.ndarray) -> np.ndarray:
    """Return [T] int16 from float full scale 1, rounded; beyond full scale is clipped."""
    return np.clip(np.rint(audio * np.float32(32767.0)), -32768, 32767).astype(np.int16)


def int16_to_float(samples: np.ndarray) -> np.ndarray:
    """Return float32 from int16; the inverse of float_to_int16."""
    return samples.astype(np.float32) / np.float32(32767.0)
