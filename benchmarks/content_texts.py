"""Recordings and what is said in them, for recognisers; texts that are missing are written by Whisper once."""

import difflib
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.content_clips import read_clip, warn_left_out
from utils.audio.frames import FEATURE_RATE
from utils.audio.listing import list_audio
from utils.errors import DataError
from utils.evaluation.metrics import normalize_text
from utils.evaluation.optional_packages import MissingEvaluatorError
from utils.evaluation.recognizers import WhisperRecognizer
from utils.files import atomic_write_json, sha256_of_file

MAX_SECONDS = 30
# two recognitions of one sentence share more than this, different sentences about a half
SAME_TEXT = 0.75
log = logging.getLogger(__name__)


class Utterance(NamedTuple):
    """A recording and its text, lower case letters and spaces."""

    name: str
    audio: np.ndarray
    text: str


def read_utterances(folder: Path, language: str, cache: Path) -> list[Utterance]:
    """Read recordings of at most 30 s and their texts; what cannot be used is named.

    Args:
        folder: recordings, with transcripts.json (path in the folder, or name of the file -> text) or without.
        language: for Whisper, where there are no transcripts.
        cache: folder for texts that Whisper wrote.
    Raises:
        DataError: if there are no recordings with a text, or Whisper is needed and not installed.
    """
    given = folder / "transcripts.json"
    paths = list_audio(folder)
    texts = WhisperTexts(cache / f"whisper_{language}.json", language)
    text_of = given_texts(given, paths) if given.is_file() else texts.text
    found, reasons = [], []
    try:
        for path in paths:
            try:
                audio = read_clip(path)
            except DataError as error:
                reasons.append(str(error))
                continue
            text = normalize_text(text_of(path, audio)) if len(audio) <= MAX_SECONDS * FEATURE_RATE else None
            if text:
                found.append(Utterance(path.relative_to(folder).as_posix(), audio, text))
            else:
                reasons.append(f"{path}: {f'longer than {MAX_SECONDS} s' if text is None else 'has no text'}")
    except MissingEvaluatorError as error:
        raise DataError(f"{given} is absent, and Whisper, which would write the texts, too; type: {error}") from None
    warn_left_out(reasons)
    if not found:
        raise DataError(f"{folder}: no recording has a text" + (" in transcripts.json" if given.is_file() else ""))
    return found


def given_texts(file: Path, paths: Sequence[Path]) -> Callable[[Path, np.ndarray], str]:
    """Return what looks a recording's text up, by its path in the folder, else by its name if no other has that.

    Raises:
        DataError: if the file is no JSON object.
    """
    try:
        texts = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{file} is no JSON: {error}") from None
    if not isinstance(texts, dict):
        raise DataError(f"{file} must hold an object, file name -> text")
    names = [path.name for path in paths]

    def text_of(path: Path, _: np.ndarray) -> str:
        by_name = texts.get(path.name, "") if names.count(path.name) == 1 else ""
        return str(texts.get(path.relative_to(file.parent).as_posix(), by_name))

    return text_of


class WhisperTexts:
    """Texts that Whisper wrote, remembered by the content of the file, whatever its name and folder.

    Args:
        file: remembers them; absent at first.
        language: that Whisper is told.
    """

    def __init__(self, file: Path, language: str) -> None:
        self._file = file
        self._language = language
        self._texts: dict[str, str] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        self._recognizer: WhisperRecognizer | None = None

    def text(self, path: Path, audio: np.ndarray) -> str:
        """Return the text of a file, whose 16 kHz audio is [T].

        Raises:
            MissingEvaluatorError: if it must be recognised and Whisper is not installed.
        """
        key = sha256_of_file(path)
        if key not in self._texts:
            if self._recognizer is None:
                self._recognizer = WhisperRecognizer(language=self._language)
                log.info("Whisper writes texts -> %s", self._file)
            self._texts[key] = self._recognizer.transcribe(audio)
            # at once, as minutes of recognising would be lost with a process that is killed
            self._file.parent.mkdir(parents=True, exist_ok=True)
            atomic_write_json(self._file, self._texts)
        return self._texts[key]


def is_same_sentence(one: str, other: str) -> bool:
    """Return whether two normalised texts are one sentence, perhaps recognised differently."""
    matcher = difflib.SequenceMatcher(None, one, other, autojunk=False)
    # the first two are quick upper bounds of the third
    return all(ratio() > SAME_TEXT for ratio in (matcher.real_quick_ratio, matcher.quick_ratio, matcher.ratio))


def without_sentences(train: Sequence[Utterance], test: Sequence[Utterance]) -> list[Utterance]:
    """Return the utterances of the training whose sentence is not in the test."""
    said = sorted({item.text for item in test})
    return [item for item in train if not any(is_same_sentence(item.text, text) for text in said)]
