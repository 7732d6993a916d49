"""What is said, and when: paragraphs of a text, or subtitles with their times."""

import importlib.util
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

from utils.errors import ConfigError, DataError
from utils.speech.readers import INSTALL

SUBTITLES = (".srt", ".vtt", ".ass", ".ssa")
LONGEST_SENTENCE = 1000  # letters: the memory of a reader grows with the square of a sentence
SENTENCE_END = re.compile(r"(?<=[.!?…。！？])\s+")
MOST_HOURS = 12  # a later subtitle is a slip, and would be silence of gigabytes


@dataclass(frozen=True)
class Passage:
    """A paragraph, or a subtitle.

    Attributes:
        text: in one line.
        name: of a subtitle, for messages.
        start_seconds: of a subtitle; None: behind the passage before.
        end_seconds: of a subtitle.
    """

    text: str
    name: str = ""
    start_seconds: float | None = None
    end_seconds: float | None = None


def paragraphs(text: str) -> list[Passage]:
    """Return the paragraphs of a text, which empty lines part; broken lines are joined.

    Raises:
        DataError: if there is nothing.
    """
    found = [" ".join(part.split()) for part in re.split(r"\n\s*\n", text)]
    passages = [Passage(bounded_sentences(part)) for part in found if part]
    if not passages:
        raise DataError("the text is empty; give something to say")
    return passages


def read_passages(path: Path) -> list[Passage]:
    """Read a text file as paragraphs, or a file of subtitles in the order of their times.

    Raises:
        DataError: if it cannot be read, is no UTF-8, or nothing is in it.
        ConfigError: if it has subtitles and the package that reads them is not installed.
    """
    if not path.is_file():
        raise DataError(f"file={path} does not exist; give a text file or subtitles ({', '.join(SUBTITLES)})")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no UTF-8 text (at byte {error.start}); save it as UTF-8") from error
    if path.suffix.lower() in SUBTITLES:
        return subtitles(text, path)
    try:
        return paragraphs(text)
    except DataError:
        raise DataError(f"{path} is empty; give a text with something to say") from None


def subtitles(text: str, path: Path) -> list[Passage]:
    """Return subtitles by their times, without their formatting; those without words are left out.

    Args:
        text: content of the file.
        path: the file, whose ending says its format.
    Raises:
        ConfigError: if the package that reads them is not installed.
        DataError: if there is none, or one begins after twelve hours.
    """
    if importlib.util.find_spec("pysubs2") is None:
        raise ConfigError(f"subtitles need the package pysubs2; type: {INSTALL}")
    import pysubs2

    try:
        lines = pysubs2.SSAFile.from_string(text, format_=path.suffix.lower().lstrip("."))
    except (ValueError, KeyError, IndexError, pysubs2.Pysubs2Error) as error:
        raise DataError(f"{path} cannot be read as subtitles ({error}); repair it") from error
    spoken = sorted((line for line in lines if not line.is_comment), key=lambda line: line.start)
    passages = [
        Passage(bounded_sentences(words), f"subtitle {number}", line.start / 1000, line.end / 1000)
        for number, line in enumerate(spoken, 1)
        if (words := " ".join(line.plaintext.split()))
    ]
    if not passages:
        raise DataError(f"{path} holds no subtitle with words; give times as 00:00:01,000 --> 00:00:02,500")
    last = passages[-1]
    if last.start_seconds is not None and last.start_seconds > MOST_HOURS * 3600:
        raise DataError(f"{path}: {last.name} begins after {last.start_seconds / 3600:.0f} hours; correct its time")
    return passages


def bounded_sentences(text: str) -> str:
    """Return a text in which no sentence is longer than a reader can take: longer ones end between words."""
    parts = SENTENCE_END.split(text)
    return " ".join(". ".join(textwrap.wrap(part, LONGEST_SENTENCE)) for part in parts)
