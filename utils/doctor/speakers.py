"""Compare the speaker of each recording with the voice that most of them are."""

from collections.abc import Iterable

import numpy as np

from utils.evaluation.optional_packages import EVALUATION_RATE
from utils.evaluation.speaker_networks import ResemblyzerEvaluator

LEAST_RECORDINGS = 4  # of a voice, for a median
LEAST_SECONDS, MOST_SECONDS = 1.5, 10.0  # an embedding needs so much speech, and no more


class SpeakerComparison:
    """Similarities of recordings to the median of a voice, which a few recordings of somebody else do not move.

    Attributes:
        rate: samples per second of the audio that it takes.

    Raises:
        MissingEvaluatorError: if the package of the speaker embeddings is not installed.
    """

    rate = EVALUATION_RATE

    def __init__(self) -> None:
        self._evaluator = ResemblyzerEvaluator()
        self._middle: np.ndarray | None = None

    def learn(self, recordings: Iterable[np.ndarray]) -> list[float | None]:
        """Take the median of a voice's recordings [T]; returns the similarity of each, None where it is too short."""
        embeddings = [self._embed(audio) for audio in recordings]
        usable = [item for item in embeddings if item is not None]
        self._middle = np.median(usable, axis=0) if len(usable) >= LEAST_RECORDINGS else None
        return [self._cosine(item) for item in embeddings]

    def similarity(self, audio: np.ndarray) -> float | None:
        """Return the cosine of a recording's embedding with the median that was learned, None where it is too short."""
        return self._cosine(self._embed(audio))

    def _embed(self, audio: np.ndarray) -> np.ndarray | None:
        if len(audio) < LEAST_SECONDS * self.rate:
            return None
        return self._evaluator.embed(audio[: int(MOST_SECONDS * self.rate)])

    def _cosine(self, embedding: np.ndarray | None) -> float | None:
        if embedding is None or self._middle is None:
            return None
        return float(embedding @ self._middle / (np.linalg.norm(embedding) * np.linalg.norm(self._middle)))
