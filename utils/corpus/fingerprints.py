"""Fingerprints of what shaped a dataset's waveforms and features: other values there, other files."""

from typing import Any

from utils.config import AudioConfig
from utils.config.preprocess import PreprocessSettings
from utils.files import sha256_of_json

# Raise a number when its code gives other values for the same input: caches made by the old code are then left alone.
READING_VERSION = 1
CONTENT_VERSION = 1
SURROUNDINGS_VERSION = 1
PITCH_VERSION = 1
LOUDNESS_VERSION = 1


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
