"""What somebody may have meant by a word that is unknown."""

import difflib
from collections.abc import Iterable

ENOUGH = 0.6  # likeness from which a word is suggested


def closest(typed: str, known: Iterable[str]) -> str:
    """Return the known word, or dotted key, that is most like a typed one; empty if none is.

    A key with the same last part comes first: steps is trainer.steps, option.trainer.step is trainer.steps too.
    """
    words = {word.lower(): word for word in known}
    last = typed.lower().rpartition(".")[2]
    named_so = [word for word in words if word.rpartition(".")[2] == last]
    found = _most_alike(typed.lower(), named_so, 0.0) or _most_alike(typed.lower(), words, ENOUGH)
    if not found:
        lasts = {word.rpartition(".")[2]: word for word in words}
        found = lasts.get(_most_alike(last, lasts, ENOUGH), "")
    return words.get(found, "")


def did_you_mean(typed: str, known: Iterable[str], value: str = "") -> str:
    """Return "; did you mean x?" for a word that is like a known one, else nothing.

    Args:
        typed: what is unknown.
        known: what there is.
        value: what stands behind the word, such as =3.
    """
    found = closest(typed, known)
    return f"; did you mean {found}{value}?" if found else ""


def _most_alike(word: str, words: Iterable[str], least: float) -> str:
    return next(iter(difflib.get_close_matches(word, list(words), n=1, cutoff=least)), "")
