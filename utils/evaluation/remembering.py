"""Evaluators that hear the same audio only once: sources and target come again with each voice, check and state."""

import hashlib
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np


class _Embeds(Protocol):
    def embed(self, audio: np.ndarray) -> np.ndarray: ...


class _Transcribes(Protocol):
    def transcribe(self, audio: np.ndarray) -> str: ...


class _Scores(Protocol):
    def score(self, audio: np.ndarray) -> float: ...


class Memory:
    """What evaluators found, by their name and the audio.

    Attributes:
        known: plain data, which JSON can hold: texts, numbers and lists of numbers.
    """

    def __init__(self, known: dict[str, Any] | None = None) -> None:
        self.known = dict(known or {})

    def of(self, name: str, audio: np.ndarray, action: Callable[[], Any]) -> Any:
        """Return what is known of audio [T], or what the action finds."""
        key = f"{name} {_hash(audio)}"
        if key not in self.known:
            self.known[key] = action()
        return self.known[key]

    def of_sounds(self, sounds: Iterable[np.ndarray]) -> dict[str, Any]:
        """Return what is known of some sounds, each [T]."""
        hashes = {_hash(audio) for audio in sounds}
        return {key: value for key, value in self.known.items() if key.rpartition(" ")[2] in hashes}


def _hash(audio: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(audio, np.float32).tobytes()).hexdigest()


class RememberingSpeaker:
    """An evaluator of speakers that must give the same embedding for the same audio."""

    def __init__(self, name: str, evaluator: _Embeds, memory: Memory) -> None:
        self._name, self._evaluator, self._memory = name, evaluator, memory

    def embed(self, audio: np.ndarray) -> np.ndarray:
        """Return the embedding [D] of 16 kHz audio [T]."""
        found = self._memory.of(self._name, audio, lambda: [float(value) for value in self._evaluator.embed(audio)])
        return np.asarray(found, np.float32)


class RememberingRecognizer:
    """A recognizer that must give the same text for the same audio."""

    def __init__(self, name: str, recognizer: _Transcribes, memory: Memory) -> None:
        self._name, self._recognizer, self._memory = name, recognizer, memory

    def transcribe(self, audio: np.ndarray) -> str:
        """Return the text of 16 kHz audio [T]."""
        return str(self._memory.of(self._name, audio, lambda: self._recognizer.transcribe(audio)))


class RememberingNaturalness:
    """An estimate of naturalness that must be the same for the same audio."""

    def __init__(self, name: str, evaluator: _Scores, memory: Memory) -> None:
        self._name, self._evaluator, self._memory = name, evaluator, memory

    def score(self, audio: np.ndarray) -> float:
        """Return the estimate, 1 to 5, for 16 kHz audio [T]."""
        return float(self._memory.of(self._name, audio, lambda: float(self._evaluator.score(audio))))
