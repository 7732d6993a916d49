"""A voice in numpy that keeps every rule that listens: the input at its sign-free best, moved in pitch and level."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from tests.tools.standin_voice import metadata_of
from utils.audio.psola import shift_voice
from utils.verification.listening import VOICED, Heard
from utils.verification.voices import Voice
from utils.voice_file.metadata import VoiceMetadata

SPEAKING_RATE = 16000
OWN_LEVEL = 1.3
Change = Callable[[np.ndarray, np.ndarray], np.ndarray]


def speaking_voice(
    change: Change = lambda made, audio: made,
    *,
    controls: Callable[[dict[str, float]], dict[str, float]] = lambda given: given,
    metadata: VoiceMetadata | None = None,
) -> Voice:
    """Return the voice with something done to what it makes, `change(made, audio)`, or to its controls."""

    def convert(audio: np.ndarray, given: Mapping[str, float]) -> np.ndarray:
        values = controls({"pitch_shift": 0.0, "loudness_mix": 1.0, **given})
        made = audio * np.sign(np.sum(audio.astype(np.float64) ** 3) or 1.0)  # the same for the negative of a sound
        if values["pitch_shift"]:
            made = _moved(made, values["pitch_shift"])
        made = made * OWN_LEVEL ** values["loudness_mix"]
        return change(made, audio).astype(np.float32)

    names = frozenset({"pitch_shift", "loudness_mix"})
    stated = metadata or replace(metadata_of(num_speakers=1), sample_rate=SPEAKING_RATE, model_rate=SPEAKING_RATE)
    return Voice(sample_rate=SPEAKING_RATE, convert=convert, controls=names, metadata=stated)


def _moved(audio: np.ndarray, semitones: float) -> np.ndarray:
    heard = Heard(audio, SPEAKING_RATE)
    f0_hz, likeness = heard.pitch
    voiced = np.where((likeness > VOICED) & (heard.level_db > -45), f0_hz, 0.0)
    count = len(voiced) * (SPEAKING_RATE // 100)
    moved = shift_voice(
        audio[:count].astype(np.float32), voiced, sample_rate=SPEAKING_RATE, pitch_ratio=2 ** (semitones / 12)
    )
    return np.concatenate([moved, audio[count:]])
