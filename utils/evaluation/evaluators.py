"""Networks of others that evaluate speech. Each is optional: a missing one is named with the command to install it.

All take mono audio at 16 kHz, float32 [T], and work offline: their weights lie inside the packages.
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from utils.errors import WorkbenchError
from utils.evaluation.optional_packages import MissingEvaluatorError
from utils.evaluation.recognizers import Recognizer
from utils.evaluation.remembering import Memory, RememberingNaturalness, RememberingRecognizer, RememberingSpeaker

# By name, since some need PyTorch: without it the others can still be used.
CLASSES = {
    "resemblyzer": "utils.evaluation.speaker_networks.ResemblyzerEvaluator",
    "ecapa": "utils.evaluation.speaker_networks.EcapaEvaluator",
    "whisper": "utils.evaluation.recognizers.WhisperRecognizer",
    "moonshine": "utils.evaluation.recognizers.MoonshineRecognizer",
    "distillmos": "utils.evaluation.speaker_networks.DistillMosEvaluator",
}
EVALUATOR_NAMES = tuple(CLASSES)
DEFAULT_EVALUATORS = ("resemblyzer", "ecapa", "whisper", "distillmos")


class SpeakerEvaluator(Protocol):
    """Maps a recording to an embedding of who speaks."""

    def embed(self, audio: np.ndarray) -> np.ndarray:
        """Return the embedding [D] of 16 kHz audio [T]."""
        ...


class NaturalnessEvaluator(Protocol):
    """Estimates the mean opinion score."""

    def score(self, audio: np.ndarray) -> float:
        """Return the estimate, 1 to 5, for 16 kHz audio [T]."""
        ...


@dataclass
class Evaluators:
    """The evaluators that are installed.

    Attributes:
        speakers: by name, those that tell who speaks.
        recognizers: by name, those that write down what is said.
        naturalness: by name, those that estimate how natural it sounds.
        missing: name of each one that is not installed -> the command that installs it.
    """

    speakers: dict[str, SpeakerEvaluator] = field(default_factory=dict)
    recognizers: dict[str, Recognizer] = field(default_factory=dict)
    naturalness: dict[str, NaturalnessEvaluator] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


def load_evaluators(
    names: Sequence[str], *, language: str = "en", num_threads: int = 1, memory: Memory | None = None
) -> Evaluators:
    """Load the named evaluators.

    Args:
        names: any of EVALUATOR_NAMES.
        language: two-letter code for the multilingual recognizer.
        num_threads: threads of the multilingual recognizer.
        memory: of audio that they have heard before; None for an empty one.
    Raises:
        WorkbenchError: if a name is unknown, or the language is.
    """
    arguments: dict[str, dict[str, Any]] = {"whisper": {"language": language, "num_threads": num_threads}}
    found, memory = Evaluators(), memory or Memory()
    for name in names:
        if name not in CLASSES:
            raise WorkbenchError(f"unknown evaluator '{name}'; known: {', '.join(CLASSES)}")
        try:
            evaluator = _class_of(name)(**arguments.get(name, {}))
        except MissingEvaluatorError as error:
            found.missing[name] = str(error)
            continue
        if hasattr(evaluator, "embed"):
            found.speakers[name] = RememberingSpeaker(name, evaluator, memory)
        elif hasattr(evaluator, "transcribe"):
            found.recognizers[name] = RememberingRecognizer(f"{name} {language}", evaluator, memory)
        else:
            found.naturalness[name] = RememberingNaturalness(name, evaluator, memory)
    return found


def _class_of(name: str) -> Any:
    """Import the class of an evaluator.

    Raises:
        MissingEvaluatorError: if PyTorch, which it is made of, is not installed.
    """
    module, _, attribute = CLASSES[name].rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        if error.name and error.name.startswith("torch"):
            raise MissingEvaluatorError("pip install -r requirements.lock") from error
        raise
