"""Audio in and out, rates, frames, spectrograms, loudness.

`from utils.audio import load_audio, augment_audio, extract_mel_spectrogram, extract_f0` works as promised to programs.
The project itself imports them from where they are.
"""

from importlib import import_module
from typing import Any

# loaded when they are asked for: programs without PyTorch use this room too, and pitch is a room above it
PROMISED = {
    "load_audio": "utils.audio.io",
    "augment_audio": "utils.audio.io",
    "extract_mel_spectrogram": "utils.audio.spectral",
    "extract_f0": "utils.features.pitch.base",
}


def __getattr__(name: str) -> Any:
    """Return a promised name from the module where it is."""
    if name not in PROMISED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(PROMISED[name]), name)
