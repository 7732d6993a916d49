"""What a user can set about preprocessing, and the fingerprints that follow from it."""

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from utils.config import AudioConfig, audio_config, check_range, require, to_plain
from utils.errors import ConfigError
from utils.files import sha256_of_json

# Raise a number when its code gives other values for the same input: caches made by the old code are then left alone.
READING_VERSION = 1
CONTENT_VERSION = 1
SURROUNDINGS_VERSION = 1
PITCH_VERSION = 1
LOUDNESS_VERSION = 1

# lists of the copies from which content is taken too, and an example of each
COPY_EXAMPLES = {"content_speeds": "[0.84,1.19]", "content_noise_db": "[15]", "content_room_seconds": "[0.4]"}
HINT = "python preprocess.py dataset.source=<folder of recordings> dataset.name=<name>"


@dataclass(frozen=True, kw_only=True)
class PreprocessSettings:
    """The `preprocess` keys; configs/preprocess.yaml says what each one means."""

    num_workers: int | None
    highpass_hz: float
    loudness_lufs: float
    peak_db: float
    max_gain_db: float
    silence_max_db: float
    silence_min_db: float
    min_silence_seconds: float
    keep_silence_seconds: float
    min_clip_seconds: float
    max_clip_seconds: float
    content_speeds: tuple[float, ...]
    content_noise_db: tuple[float, ...]
    content_room_seconds: tuple[float, ...]
    held_out_share: float
    held_out_files: int

    def __post_init__(self) -> None:
        check_range("preprocess.num_workers", self.num_workers or 0, 0)
        check_range("preprocess.highpass_hz", self.highpass_hz, 0, 500)
        check_range("preprocess.loudness_lufs", self.loudness_lufs, -50, -10)
        check_range("preprocess.peak_db", self.peak_db, -20, 0)
        check_range("preprocess.max_gain_db", self.max_gain_db, 0, 60)
        check_range("preprocess.silence_max_db", self.silence_max_db, -80, -15)
        check_range("preprocess.silence_min_db", self.silence_min_db, -100, self.silence_max_db)
        check_range("preprocess.min_silence_seconds", self.min_silence_seconds, 0.1, 60)
        check_range("preprocess.keep_silence_seconds", self.keep_silence_seconds, 0, self.min_silence_seconds / 2)
        check_range("preprocess.min_clip_seconds", self.min_clip_seconds, 0.1, 10)
        check_range("preprocess.max_clip_seconds", self.max_clip_seconds, 3 * self.min_clip_seconds, 60)
        for speed in self.content_speeds:
            check_range("preprocess.content_speeds", speed, 0.5, 2.0)
        for snr_db in self.content_noise_db:
            check_range("preprocess.content_noise_db", snr_db, -10, 60)
        for seconds in self.content_room_seconds:
            check_range("preprocess.content_room_seconds", seconds, 0.05, 3)
        check_range("preprocess.held_out_share", self.held_out_share, 0, 0.5)
        check_range("preprocess.held_out_files", self.held_out_files, 0)

    @property
    def content_copies(self) -> dict[str, tuple[float, ...]]:
        """The lists of copies from which content is taken too."""
        return {key: getattr(self, key) for key in COPY_EXAMPLES}

    def reading_values(self) -> dict[str, Any]:
        """Return the values that shape a clip's waveform."""
        other = ("num_workers", *COPY_EXAMPLES, "held_out_share", "held_out_files")
        return {item.name: getattr(self, item.name) for item in fields(self) if item.name not in other}


@dataclass(frozen=True, kw_only=True)
class PreprocessJob:
    """One run of preprocess.py.

    Attributes:
        source: folder of recordings, or one file.
        speaker: name for everything under the source; None takes the sub-folders' names.
        folder: the dataset's folder.
        audio: rate and frames of the stored waveforms.
        content: configuration of the content encoder, with `_target_`.
        pitch: configuration of the pitch tracker, with `_target_`.
        settings: the `preprocess` keys.
    """

    source: Path
    speaker: str | None
    folder: Path
    audio: AudioConfig
    content: dict[str, Any]
    pitch: dict[str, Any]
    settings: PreprocessSettings


def preprocess_settings(node: DictConfig) -> PreprocessSettings:
    """Build the typed `preprocess` section.

    Raises:
        ConfigError: if a value is missing, of the wrong kind or out of range; names the key.
    """
    values = to_plain(node)
    for key, example in COPY_EXAMPLES.items():
        if not isinstance(values.get(key), list):
            raise ConfigError(f"preprocess.{key}={values.get(key)!r} must be a list such as {example}, or [] for none")
        values[key] = tuple(values[key])
    for key, value in values.items():
        numbers = value if key in COPY_EXAMPLES else [value]
        for number in numbers:
            is_allowed_null = number is None and key == "num_workers"
            if not is_allowed_null and (isinstance(number, bool) or not isinstance(number, int | float)):
                raise ConfigError(f"preprocess.{key}={number!r} is not a number")
    for key in ("num_workers", "held_out_files"):
        if isinstance(values.get(key), float):
            raise ConfigError(f"preprocess.{key}={values[key]} must be a whole number")
    try:
        return PreprocessSettings(**values)
    except TypeError as error:
        raise ConfigError(f"preprocess: {error}") from error


def preprocess_job(config: DictConfig) -> PreprocessJob:
    """Build the typed job of configs/preprocess.yaml.

    Raises:
        ConfigError: if dataset.source or dataset.name is missing, or a value is out of range.
    """
    source = Path(str(require(config, "dataset.source", HINT))).expanduser()
    name = str(require(config, "dataset.name", HINT))
    if not re.fullmatch(r"[\w][\w .+-]*", name):
        raise ConfigError(f"dataset.name={name!r} must be a plain name: letters, digits, _ - + . and spaces, no path")
    plain = to_plain(config)
    speaker = plain["dataset"]["speaker"]
    return PreprocessJob(
        source=source,
        speaker=None if speaker is None else str(speaker),
        folder=Path(str(plain["dataset"]["root"])).expanduser() / name,
        audio=audio_config(config.audio),
        content=plain["content"],
        pitch=plain["pitch"],
        settings=preprocess_settings(config.preprocess),
    )


def reading_fingerprint(audio: AudioConfig, settings: PreprocessSettings) -> str:
    """Return the hash of everything that shapes the stored waveforms."""
    rates = {"sample_rate": audio.sample_rate, "hop_length": audio.hop_length}
    return sha256_of_json({"version": READING_VERSION, "audio": rates, "preprocess": settings.reading_values()})


def feature_fingerprints(
    reading: str,
    *,
    content_identity: dict[str, Any],
    pitch_identity: dict[str, Any],
    loudness_identity: dict[str, Any],
    content_speeds: tuple[float, ...],
    content_noise_db: tuple[float, ...] = (),
    content_room_seconds: tuple[float, ...] = (),
) -> dict[str, str]:
    """Return, for each feature by name, the hash of everything that shapes it.

    Args:
        reading: fingerprint of the waveforms, see reading_fingerprint.
        content_identity: plain description of the encoder.
        pitch_identity: plain description of the tracker.
        loudness_identity: plain description of the loudness measure.
        content_speeds: one speed for each content_perturbed_<k>.
        content_noise_db: one level for each content_noise_<k>.
        content_room_seconds: one decay for each content_room_<k>.
    """
    content = {"reading": reading, "version": CONTENT_VERSION, "identity": content_identity}
    described: dict[str, dict[str, Any]] = {"content": content}
    for index, speed in enumerate(content_speeds):
        described[f"content_perturbed_{index}"] = {**content, "speed": speed}
    surroundings = {**content, "surroundings_version": SURROUNDINGS_VERSION}
    for index, snr_db in enumerate(content_noise_db):
        described[f"content_noise_{index}"] = {**surroundings, "noise_db": snr_db}
    for index, seconds in enumerate(content_room_seconds):
        described[f"content_room_{index}"] = {**surroundings, "room_seconds": seconds}
    described["f0_hz"] = {"reading": reading, "version": PITCH_VERSION, "identity": pitch_identity}
    described["loudness_db"] = {"reading": reading, "version": LOUDNESS_VERSION, "identity": loudness_identity}
    return {name: sha256_of_json(value) for name, value in described.items()}
