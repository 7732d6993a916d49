"""The figures of an evaluation: their names for people, how to read them, and how sure they are."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

RESAMPLES = 4000
MOST_FLIPPED = 12  # files up to which every assignment of signs is tried
FLIPS = 4096  # assignments tried of more files
CONFIDENCE = 0.95
MIN_FILES = 3  # below this no interval is given
PLAIN = {
    "f0_correlation": ("F0 correlation", "whether the melody was followed; 1 is best, a shift does not change it"),
    "f0_error_cents": ("F0 error, cents", "median distance from the melody asked for, without a shift of all of it"),
    "voicing_agreement": ("voicing agreement", "share of frames voiced in both or in neither; 1 is best"),
    "level_change_db": ("level change, dB", "of the conversion against its source; near 0 keeps the level"),
    "identical_files": ("files equal to their source", "recordings that came out unconverted; must be 0"),
}
OF_EVALUATORS = {
    "converted_to_target": (
        "similarity to the target",
        "higher is nearer; compare with strangers and with the target's own clips",
    ),
    "converted_to_source": ("similarity to the source", "how much of the source is left; compare with strangers"),
    "source_to_target": ("similarity of the sources before", "what strangers get"),
    "target_own": ("similarity of the target's own clips", "what a perfect conversion could reach"),
    "character_error": ("character error", "edits over all characters; 0 is best"),
    "converted": ("naturalness", "estimated opinion, 1 to 5"),
    "source": ("naturalness of the sources", "what the sources get"),
    "target": ("naturalness of the target", "what the target's recordings get"),
}


class Terms(NamedTuple):
    """A figure as a ratio of sums: numerators and denominators of each file, [N] each."""

    numerators: np.ndarray
    denominators: np.ndarray

    @property
    def value(self) -> float:
        """The figure over all files."""
        return float(self.numerators.sum() / self.denominators.sum())


class Difference(NamedTuple):
    """The difference of a figure between two voices over the same files.

    Attributes:
        mean: first minus second.
        low: lower end of its 95 % interval.
        high: upper end.
        is_real: whether chance makes so large a difference in less than 5 % of cases, and the interval is without 0.
    """

    mean: float
    low: float
    high: float
    is_real: bool


def describe_figure(key: str) -> tuple[str, str]:
    """Return the name of a figure for people, and how to read it."""
    if key in PLAIN:
        return PLAIN[key]
    evaluator, _, figure = key.partition("_")
    name, meaning = OF_EVALUATORS.get(figure, (key.replace("_", " "), ""))
    return (f"{name} ({evaluator})", meaning) if figure in OF_EVALUATORS else (name, meaning)


def is_shown(key: str) -> bool:
    """Return whether a table for people shows a figure."""
    return key in PLAIN or key.partition("_")[2] in OF_EVALUATORS


def is_measured(key: str) -> bool:
    """Return whether a figure is about conversions, not about the sources or the target alone."""
    of_others = ("source_to_target", "target_own", "source", "target")
    return is_shown(key) and key != "identical_files" and key.partition("_")[2] not in of_others


def terms_of(files: Sequence[Mapping[str, Any]], key: str) -> Terms | None:
    """Return a figure of each file that has it; None where none has.

    Args:
        files: rows of an evaluation.
        key: of its means; a character error is edits over characters.
    """
    if key.endswith("_character_error"):
        name = key.removesuffix("_character_error")
        rows = [row for row in files if row.get(f"{name}_edits") is not None]
        pairs = [(float(row[f"{name}_edits"]), float(row[f"{name}_characters"])) for row in rows]
    else:
        pairs = [(float(row[key]), 1.0) for row in files if isinstance(row.get(key), int | float)]
    if not pairs or sum(below for _, below in pairs) == 0:
        return None
    return Terms(np.array([above for above, _ in pairs]), np.array([below for _, below in pairs]))


def interval_of(terms: Terms, seed: int = 0) -> tuple[float, float] | None:
    """Return the 95 % interval of a figure by the bootstrap over files (Efron 1979); None with fewer than three."""
    if len(terms.numerators) < MIN_FILES:
        return None
    chosen = np.random.default_rng(seed).integers(0, len(terms.numerators), (RESAMPLES, len(terms.numerators)))
    return _ends(_ratio(terms, chosen))


def difference_of(first: Terms, second: Terms, seed: int = 0) -> Difference:
    """Compare a figure of two voices over the same files, in the same order.

    The interval is that of the paired bootstrap. Chance is that of exchanging the two voices in each file at random
    (Fisher's exact test of paired differences); all 2^N ways up to 12 files, 4096 of them for more.
    """
    mean = first.value - second.value
    count = len(first.numerators)
    if count < MIN_FILES:
        return Difference(mean, mean, mean, False)
    chosen = np.random.default_rng(seed).integers(0, count, (RESAMPLES, count))
    low, high = _ends(_ratio(first, chosen) - _ratio(second, chosen))
    gaps = first.numerators / first.denominators.sum() - second.numerators / second.denominators.sum()
    if count <= MOST_FLIPPED:
        signs = 1 - 2 * ((np.arange(2**count)[:, None] >> np.arange(count)) & 1)
    else:
        signs = np.random.default_rng(seed).choice((-1, 1), (FLIPS, count))
    as_far = np.abs(signs @ gaps) >= abs(gaps.sum()) * (1 - 1e-9)
    is_rare = float(np.mean(as_far)) < 1 - CONFIDENCE
    return Difference(mean, low, high, bool(is_rare and (low > 0 or high < 0)))


def standard_error_of(terms: Terms, seed: int = 0) -> float | None:
    """Return the standard error of a figure by the bootstrap over files; None with fewer than three."""
    count = len(terms.numerators)
    if count < MIN_FILES:
        return None
    chosen = np.random.default_rng(seed).integers(0, count, (RESAMPLES, count))
    return float(np.nanstd(_ratio(terms, chosen)))


def intervals_of(files: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Return the interval of each figure that has one."""
    found = {}
    for key in keys:
        terms = terms_of(files, key)
        interval = interval_of(terms) if terms else None
        if interval:
            found[key] = interval
    return found


def differences_of(
    first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]], keys: Sequence[str]
) -> dict[str, Difference]:
    """Return the difference of each figure over the files that both voices have."""
    rows = {row["file"]: row for row in second}
    pairs = [(row, rows[row["file"]]) for row in first if row["file"] in rows]
    found = {}
    for key in keys:
        own, other = (terms_of([pair[index] for pair in pairs], key) for index in (0, 1))
        if own and other and len(own.numerators) == len(other.numerators):
            found[key] = difference_of(own, other)
    return found


def _ratio(terms: Terms, chosen: np.ndarray) -> np.ndarray:
    below = terms.denominators[chosen].sum(axis=1)
    ratio: np.ndarray = terms.numerators[chosen].sum(axis=1)
    # resamples of files in which nobody said a word have no character error; they are left out
    return np.divide(ratio, below, out=np.full(len(ratio), np.nan), where=below > 0)


def _ends(values: np.ndarray) -> tuple[float, float]:
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.nanpercentile(values, [tail, 100 - tail])
    return float(low), float(high)
