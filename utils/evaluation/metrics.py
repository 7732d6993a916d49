"""Figures computed from embeddings and texts; no network and no optional package here."""

import unicodedata

import numpy as np


def cosine_similarity(first: np.ndarray, second: np.ndarray) -> float:
    """Return the cosine of the angle between two embeddings [D]; 0 where one of them is zero."""
    norm = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(np.dot(first, second)) / norm if norm != 0 else 0.0


def mean_embedding(embeddings: list[np.ndarray]) -> np.ndarray:
    """Return the normalized mean of normalized embeddings, [D] from a list of [D].

    Raises:
        ValueError: if the list is empty.
    """
    if not embeddings:
        raise ValueError("a mean needs at least one embedding")
    units = [embedding / max(float(np.linalg.norm(embedding)), 1e-12) for embedding in embeddings]
    mean = np.mean(units, axis=0)
    return mean / max(float(np.linalg.norm(mean)), 1e-12)


def normalize_text(text: str) -> str:
    """Return the text in lower case without punctuation, with single spaces, as recognizers are compared."""
    kept = []
    for sign in unicodedata.normalize("NFKC", text).lower():
        category = unicodedata.category(sign)
        if category[0] in "LNM":
            kept.append(sign)
        elif sign not in "'’":  # don't -> dont, as most references do
            kept.append(" ")
    return " ".join("".join(kept).split())


def edit_distance(reference: str, hypothesis: str) -> int:
    """Return Levenshtein's distance: insertions, deletions and replacements of one character."""
    previous = list(range(len(hypothesis) + 1))
    for row, expected in enumerate(reference, start=1):
        current = [row]
        for column, found in enumerate(hypothesis, start=1):
            replace = previous[column - 1] + (expected != found)
            current.append(min(replace, previous[column] + 1, current[-1] + 1))
        previous = current
    return previous[-1]


def character_errors(reference: str, hypothesis: str) -> tuple[int, int]:
    """Return (edits, characters of the reference) after `normalize_text`; sums of both give a corpus' error rate."""
    reference, hypothesis = normalize_text(reference), normalize_text(hypothesis)
    return edit_distance(reference, hypothesis), len(reference)
