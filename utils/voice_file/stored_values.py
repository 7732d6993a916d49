"""What the JSON inside an exported graph must hold before anything relies on it. Plain data, imports no torch."""

from collections.abc import Mapping
from typing import Any

from utils.audio.frames import FRAME_RATE
from utils.voice_file.geometry import HIGHEST_RATE, LOWEST_RATE

LARGEST = 1e15  # beyond it, no number is meant: JSON knows infinity as 1e999
TEXTS = ("name", "flavour", "licence", "consent", "config", "precision", "f0_convention")
SIZES = ("hop_length", "n_fft", "model_rate")
TABLES = ("encoder", "pitch", "defaults", "metrics", "extra")
# the smallest and largest that each may be: ten seconds, and 256 MB
STREAM_SIZES = {"block": (1, 10 * HIGHEST_RATE), "look_ahead": (0, 10 * HIGHEST_RATE), "state_size": (1, 2**26)}


def metadata_fault(values: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the values of VoiceMetadata that are present, or None when each can be relied on."""
    for key in TEXTS:
        if not isinstance(values.get(key, ""), str):
            return f"{key} is {values[key]!r}, no text"
    rate = values.get("sample_rate", LOWEST_RATE)
    if not _is_whole(rate, LOWEST_RATE) or rate > HIGHEST_RATE or rate % FRAME_RATE:
        return f"sample_rate is {rate!r}, no multiple of {FRAME_RATE} from {LOWEST_RATE} to {HIGHEST_RATE}"
    for key in SIZES:
        if not _is_whole(values.get(key, 1), 1):
            return f"{key} is {values[key]!r}, no whole number above 0"
    for key in TABLES:
        if not isinstance(values.get(key, {}), Mapping):
            return f"{key} is {values[key]!r}, no mapping"
    wrong = {key: value for key, value in values.get("defaults", {}).items() if not _is_number(value)}
    if wrong:
        return f"defaults are {wrong}, no numbers"
    return _speakers_fault(values.get("speakers", [])) or _stream_fault(values.get("extra", {}).get("stream"))


def _speakers_fault(speakers: Any) -> str | None:
    if not isinstance(speakers, list) or not all(isinstance(speaker, Mapping) for speaker in speakers):
        return f"speakers is {speakers!r}, no list of mappings"
    for speaker in speakers:
        known = _is_whole(speaker.get("id", 0), 0) and isinstance(speaker.get("name", ""), str)
        if not known or not _is_number(speaker.get("f0_median_hz", 0.0)):
            return f"a speaker is {dict(speaker)}"
    return None


def _stream_fault(facts: Any) -> str | None:
    if facts is None:
        return None
    if not isinstance(facts, Mapping) or set(facts) != {*STREAM_SIZES, "latency_ms"}:
        return f"extra.stream is {facts!r}; it needs {', '.join(STREAM_SIZES)} and latency_ms"
    sizes_fit = all(_is_whole(facts[key], low) and facts[key] <= high for key, (low, high) in STREAM_SIZES.items())
    return None if sizes_fit and _is_number(facts["latency_ms"]) else f"extra.stream is {dict(facts)}"


def _is_whole(value: Any, lowest: int) -> bool:
    return type(value) is int and value >= lowest


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST
