"""Compute the features of clips from their stored waveforms."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import soxr
import torch

from utils.audio.frames import FEATURE_HOP, FEATURE_RATE, num_frames, pad_to_frames
from utils.audio.io import int16_to_float, resample
from utils.audio.loudness import FrameLoudness
from utils.audio.mono import RESAMPLE_QUALITY
from utils.audio.surroundings import add_noise, put_into_room
from utils.config import Pluggable
from utils.corpus.arrays import save_array
from utils.corpus.stored_array import StoredArray
from utils.errors import DataError

PERTURBED, NOISE, ROOM = "content_perturbed_", "content_noise_", "content_room_"


class FeatureExtractor:
    """All features of a dataset.

    Args:
        content: configuration of the content encoder, with `_target_`.
        pitch: configuration of the pitch tracker, with `_target_`.
        content_speeds: playback speeds of content_perturbed_0, _1, ...
        content_noise_db: level of the voice over the noise in content_noise_0, ...
        content_room_seconds: decay of the room in content_room_0, ...
    """

    def __init__(
        self,
        content: dict[str, Any],
        pitch: dict[str, Any],
        content_speeds: tuple[float, ...],
        content_noise_db: tuple[float, ...] = (),
        content_room_seconds: tuple[float, ...] = (),
    ) -> None:
        self.encoder = Pluggable.of(content, "content").build()
        self.tracker = Pluggable.of(pitch, "pitch").build()
        self.loudness = FrameLoudness()
        self.speeds = content_speeds
        self.noise_db = content_noise_db
        self.room_seconds = content_room_seconds

    @property
    def names(self) -> list[str]:
        """Names of the features, as in the dataset."""
        copies = {PERTURBED: self.speeds, NOISE: self.noise_db, ROOM: self.room_seconds}
        numbered = [f"{kind}{index}" for kind, values in copies.items() for index in range(len(values))]
        return ["content", *numbered, "f0_hz", "loudness_db"]

    def compute(self, name: str, audio: np.ndarray) -> np.ndarray:
        """Compute one feature.

        Args:
            name: one of `names`.
            audio: [F * 160] float32 at 16 kHz.
        Returns:
            content: [F, D] float16; f0_hz and loudness_db: [F] float32.
        Raises:
            DataError: if a value is not finite or the number of frames is wrong.
        """
        frames = len(audio) // FEATURE_HOP
        if name == "content":
            values = self.encoder.encode(audio).astype(np.float16)
        elif name.startswith(PERTURBED):
            values = self._perturbed(audio, self.speeds[int(name.removeprefix(PERTURBED))]).astype(np.float16)
        elif name.startswith((NOISE, ROOM)):
            values = self.encoder.encode(self._surrounded(name, audio)).astype(np.float16)
        elif name == "f0_hz":
            values = self.tracker.track(audio).astype(np.float32)
        else:
            with torch.no_grad():
                values = self.loudness(torch.from_numpy(audio)[None])[0].numpy()
        if len(values) != frames or not np.isfinite(values).all():
            raise DataError(f"{name}: {len(values)} frames for {frames}, or values that are not finite")
        return values

    def _perturbed(self, audio: np.ndarray, speed: float) -> np.ndarray:
        """Return the content of the audio played at another speed (pitch and formants move), on its own frames."""
        played = soxr.resample(audio, FEATURE_RATE * speed, FEATURE_RATE, quality=RESAMPLE_QUALITY)
        features = self.encoder.encode(pad_to_frames(played.astype(np.float32), FEATURE_HOP))
        return retime(features, len(audio) // FEATURE_HOP, speed)

    def _surrounded(self, name: str, audio: np.ndarray) -> np.ndarray:
        """Return the audio with noise or in a room; the random choices follow from the audio."""
        rng = np.random.default_rng([crc32(audio.tobytes()), crc32(name.encode())])
        if name.startswith(NOISE):
            return add_noise(audio, self.noise_db[int(name.removeprefix(NOISE))], rng)
        return put_into_room(audio, self.room_seconds[int(name.removeprefix(ROOM))], FEATURE_RATE, rng)


def retime(features: np.ndarray, frames: int, speed: float) -> np.ndarray:
    """Linearly interpolate features of audio played at a speed to the frames of the original.

    Args:
        features: [F', D].
        frames: F.
        speed: F / F' but for rounding.
    Returns:
        [F, D] float32, vectors whose lengths are interpolated too: a mean of two vectors is shorter than they are.
    """
    # frame i of the original is centred at (i + 0.5) / 100 s, which the faster copy plays at that time / speed
    position = np.clip((np.arange(frames) + 0.5) / speed - 0.5, 0, len(features) - 1)
    before = np.floor(position).astype(np.int64)
    after = np.minimum(before + 1, len(features) - 1)
    share = (position - before).astype(np.float32)[:, None]
    mixed = (1 - share) * features[before] + share * features[after]
    levels = np.sqrt(np.square(features).mean(axis=1, keepdims=True) + 1e-8)
    level = (1 - share) * levels[before] + share * levels[after]
    return mixed * level / np.sqrt(np.square(mixed).mean(axis=1, keepdims=True) + 1e-8)


def to_feature_rate(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return [F * 160] at 16 kHz from [F * hop_length] at a dataset's rate."""
    frames = num_frames(len(audio), sample_rate // 100)
    resampled = resample(audio, sample_rate, FEATURE_RATE)
    return np.pad(resampled, (0, max(0, frames * FEATURE_HOP - len(resampled))))[: frames * FEATURE_HOP]


@dataclass(frozen=True)
class FeatureTask:
    """Some features of some neighbouring clips of one recording.

    Attributes:
        waveform: array file that has the recording's clips, int16.
        sample_rate: its rate.
        first_frame: frame in the array at which the first clip begins.
        clip_frames: length of each clip.
        outputs: feature name -> array file to make.
        extractor: see extractor_json.
        pitch_ratio: by which the pitch is moved.
    """

    waveform: Path
    sample_rate: int
    first_frame: int
    clip_frames: tuple[int, ...]
    outputs: dict[str, Path]
    extractor: str
    pitch_ratio: float = 1.0

    def __str__(self) -> str:
        return str(self.waveform)


def extract_features(task: FeatureTask) -> None:
    """Compute and store the features of a task (in a worker process)."""
    extractor = _extractor(task.extractor)
    hop = task.sample_rate // 100
    waveform = StoredArray(task.waveform)
    parts: dict[str, list[np.ndarray]] = {name: [] for name in task.outputs}
    position = task.first_frame
    for frames in task.clip_frames:
        clip = int16_to_float(waveform.read(position * hop, (position + frames) * hop))
        audio = to_feature_rate(clip, task.sample_rate)
        for name, values in parts.items():
            computed = extractor.compute(name, audio)
            values.append(computed * np.float32(task.pitch_ratio) if name == "f0_hz" else computed)
        position += frames
    for name, path in task.outputs.items():
        save_array(path, np.concatenate(parts[name]))


def extractor_json(content: dict[str, Any], pitch: dict[str, Any], **copies: tuple[float, ...]) -> str:
    """Return the text from which a worker process builds its extractor once.

    Args:
        content: configuration of the content encoder.
        pitch: configuration of the pitch tracker.
        copies: content_speeds, content_noise_db and content_room_seconds.
    """
    return json.dumps({"content": content, "pitch": pitch, "copies": copies}, sort_keys=True)


@lru_cache(maxsize=1)
def _extractor(description: str) -> FeatureExtractor:
    values = json.loads(description)
    copies = {key: tuple(numbers) for key, numbers in values["copies"].items()}
    return FeatureExtractor(values["content"], values["pitch"], **copies)
