"""What programs hand over as audio, checked."""

import numpy as np

from utils.audio.decoder import HIGHEST_RATE, LOWEST_RATE, MOST_CHANNELS, without_broken
from utils.inference.errors import InvalidAudioError

FULL_SCALE = {"int16": 2.0**15, "int32": 2.0**31}
MOST_BROKEN = 0.2  # share of the samples: more is no recording


def checked_rate(sample_rate: int) -> int:
    """Return the rate of a recording.

    Raises:
        InvalidAudioError: if no recording has it.
    """
    rate = int(sample_rate) if isinstance(sample_rate, int | np.integer) else 0
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise InvalidAudioError(
            f"sample_rate={sample_rate!r} must be a whole number from {LOWEST_RATE} to {HIGHEST_RATE}"
        )
    return rate


def checked_audio(audio: np.ndarray, *, keeps_channels: bool) -> list[np.ndarray]:
    """Return the channels of a recording, or their mean alone, each [T] float32.

    Args:
        audio: [T] or [T, C]; floats of full scale 1, or int16 or int32. Samples that are no numbers or beyond +60 dBFS
            become 0.
        keeps_channels: whether each channel is wanted.
    Raises:
        InvalidAudioError: if it is nothing of this, empty, or a fifth of it is broken.
    """
    if not isinstance(audio, np.ndarray) or audio.ndim not in (1, 2):
        shape = getattr(audio, "shape", type(audio).__name__)
        raise InvalidAudioError(f"the audio is {shape}; give an array [samples] or [samples, channels]")
    scale = FULL_SCALE.get(str(audio.dtype), 1.0)
    if audio.dtype.kind != "f" and scale == 1.0:
        raise InvalidAudioError(f"the audio is of type {audio.dtype}; give floats of full scale 1, int16 or int32")
    rows = audio[:, None] if audio.ndim == 1 else audio
    if not len(rows):
        raise InvalidAudioError("the audio is empty (0 samples)")
    if not 1 <= rows.shape[1] <= min(MOST_CHANNELS, max(len(rows), 1)):
        raise InvalidAudioError(
            f"the audio is {list(audio.shape)}: samples come first, then 1 to {MOST_CHANNELS} channels"
        )
    clean, broken = without_broken(np.asarray(rows, np.float32) / np.float32(scale))
    if broken is not None and broken.mean() > MOST_BROKEN:
        raise InvalidAudioError(f"{int(broken.sum())} of {len(rows)} samples are no numbers or beyond +60 dBFS")
    parts = clean.T if keeps_channels else clean.mean(axis=1)[None]
    return [np.ascontiguousarray(part, np.float32) for part in parts]
