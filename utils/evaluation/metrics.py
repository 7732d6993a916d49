"""Figures computed from embeddings, pitch curves and texts; no network and no optional package here."""

import unicodedata

import numpy as np

MIN_COMMON_FRAMES = 10  # fewer voiced frames in common say nothing about a correlation


def cosine_similarity(first: np.ndarray, second: np.ndarray) -> float:
    """Return the cosine of the angle between two embeddings [D]; 0 where one of them is zero."""
    norm = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(np.dot(first, second)) / norm if norm > 0 else 0.0


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


def f0_correlation(first_hz: np.ndarray, second_hz: np.ndarray) -> float | None:
    """Return Pearson's correlation of log frequency over the frames that are voiced in both curves.

    A constant shift in semitones does not change it.

    Args:
        first_hz: [F] in hertz, 0 where unvoiced.
        second_hz: [F'] at the same frame rate; the longer curve is cut.
    Returns:
        None where fewer than ten frames are voiced in both or one curve is constant.
    """
    frames = min(len(first_hz), len(second_hz))
    first, second = first_hz[:frames], second_hz[:frames]
    voiced = (first > 0) & (second > 0)
    if int(voiced.sum()) < MIN_COMMON_FRAMES:
        return None
    a, b = np.log2(first[voiced]), np.log2(second[voiced])
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.dot(a, b)) / norm if norm > 1e-9 else None


def voicing_agreement(first_hz: np.ndarray, second_hz: np.ndarray) -> float | None:
    """Return the share of frames on which both curves [F] agree about voiced or not; None for empty curves."""
    frames = min(len(first_hz), len(second_hz))
    if frames == 0:
        return None
    return float(np.mean((first_hz[:frames] > 0) == (second_hz[:frames] > 0)))


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
