"""Sentences to read aloud and topics to speak about, by language, and how much of its sounds what was read has.

A file a language: "# " and its own name, sentences, then topics with "* " in front. The sentences have its sounds in
little time; a minute or more about each topic makes the ten minutes that a good voice needs.
"""

from collections.abc import Collection
from functools import cache
from itertools import pairwise
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "prompts"
TOPIC = "* "


@cache
def prompt_languages() -> dict[str, str]:
    """Return the languages that have sentences, each with its own name."""
    return {path.stem: _lines(path)[0].removeprefix("# ") for path in sorted(FOLDER.glob("*.txt"))}


@cache
def prompts_of(language: str) -> tuple[str, ...]:
    """Return the sentences of a language and then its topics, in the order in which they are recorded."""
    return tuple(line.removeprefix(TOPIC) for line in _lines(FOLDER / f"{language}.txt")[1:])


@cache
def sentences_of(language: str) -> tuple[str, ...]:
    """Return what is read word for word: the first prompts of a language."""
    return tuple(line for line in _lines(FOLDER / f"{language}.txt")[1:] if not line.startswith(TOPIC))


def coverage(language: str, read: Collection[int]) -> float:
    """Return the share of neighbouring letters of all sentences that the ones read have: 0 to 1.

    Letters stand for sounds: what follows what in writing is close to what follows what in speech. It only counts what
    was asked for, not what was heard: words about a topic are nobody's to know.

    Args:
        language: of the sentences.
        read: their numbers, from 0 on.
    """
    sentences = sentences_of(language)
    every = set().union(*(_pairs(sentence) for sentence in sentences))
    spoken = set().union(*(_pairs(sentences[number]) for number in read if 0 <= number < len(sentences)))
    return len(spoken) / len(every) if every else 0.0


def _pairs(sentence: str) -> set[tuple[str, str]]:
    letters = [letter for letter in sentence.lower() if letter.isalpha()]
    return set(pairwise(letters))


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
