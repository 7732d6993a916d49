"""Sentences to read aloud, by language, and how much of a language's sounds those that were read have."""

from collections.abc import Collection
from functools import cache
from itertools import pairwise
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "prompts"


@cache
def prompt_languages() -> dict[str, str]:
    """Return the languages that have sentences, each with its own name."""
    return {path.stem: _lines(path)[0].removeprefix("# ") for path in sorted(FOLDER.glob("*.txt"))}


@cache
def prompts_of(language: str) -> tuple[str, ...]:
    """Return the sentences of a language, in the order in which they are read."""
    return tuple(_lines(FOLDER / f"{language}.txt")[1:])


def coverage(language: str, read: Collection[int]) -> float:
    """Return the share of neighbouring letters of all sentences that the ones read have: 0 to 1.

    Letters stand for sounds: what follows what in writing is close to what follows what in speech. It only counts what
    was asked for, not what was heard.

    Args:
        language: of the sentences.
        read: their numbers, from 0 on.
    """
    sentences = prompts_of(language)
    every = set().union(*(_pairs(sentence) for sentence in sentences))
    spoken = set().union(*(_pairs(sentences[number]) for number in read if 0 <= number < len(sentences)))
    return len(spoken) / len(every) if every else 0.0


def _pairs(sentence: str) -> set[tuple[str, str]]:
    letters = [letter for letter in sentence.lower() if letter.isalpha()]
    return set(pairwise(letters))


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
