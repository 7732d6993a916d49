"""What is measured of a pitch tracker on sound whose pitch is known, and how two forms of one tracker differ.

Accuracy: voiced frames found voiced and within 50 cents. Gross errors: of frames voiced in both, more than 20 % off.
False voicing: unvoiced frames found voiced. Recall: voiced frames found voiced.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from benchmarks.comparison import cell
from benchmarks.known_pitch import Sound
from utils.audio.frames import FEATURE_RATE
from utils.console import emit, table

CENTS = 50.0
GROSS = 0.2

Track = Callable[[np.ndarray], np.ndarray]
Conditions = Mapping[str, Sequence[Sound]]


@dataclass(frozen=True)
class Figures:
    """Shares of frames, see the head of this file; None where there is no such frame."""

    accuracy: float | None
    gross_errors: float | None
    false_voicing: float | None
    recall: float | None


@dataclass(frozen=True)
class Result:
    """Figures of each condition and processor seconds for a second of audio on one thread."""

    conditions: dict[str, Figures]
    real_time_factor: float


def compare(found: np.ndarray, truth: np.ndarray) -> Figures:
    """Compare f0 in Hz [F]; 0 is unvoiced, and NaN in the truth is left out."""
    voiced, unvoiced = truth > 0, truth == 0
    both = voiced & (found > 0)
    ratio = found[both] / truth[both]
    close = np.abs(1200 * np.log2(ratio)) <= CENTS
    return Figures(
        accuracy=_share(close, voiced),
        gross_errors=_share(np.abs(ratio - 1) > GROSS, both),
        false_voicing=_share(unvoiced & (found > 0), unvoiced),
        recall=_share(both, voiced),
    )


def _share(part: np.ndarray, whole: np.ndarray) -> float | None:
    return float(part.sum() / whole.sum()) if whole.any() else None


def measure(track: Track, conditions: Conditions) -> Result:
    """Track all sounds."""
    track(next(iter(conditions.values()))[0].audio)  # the first call loads and compiles
    figures, seconds, spent = {}, 0.0, 0.0
    for name, sounds in conditions.items():
        # processor time of the one thread: the same as the clock when nothing else runs, and robust when something does
        started = time.process_time()
        found = [track(sound.audio) for sound in sounds]
        spent += time.process_time() - started
        seconds += sum(len(sound.audio) for sound in sounds) / FEATURE_RATE
        figures[name] = compare(np.concatenate(found), np.concatenate([sound.f0_hz for sound in sounds]))
    return Result(figures, spent / seconds)


def difference(first: Track, second: Track, conditions: Conditions) -> tuple[float, int]:
    """Return the largest difference in cents where both are voiced, and how many frames are voiced in one alone."""
    largest, alone = 0.0, 0
    for sounds in conditions.values():
        for sound in sounds:
            one, other = first(sound.audio), second(sound.audio)
            alone += int(((one > 0) != (other > 0)).sum())
            both = (one > 0) & (other > 0)
            if both.any():
                largest = max(largest, float(np.abs(1200 * np.log2(one[both] / other[both])).max()))
    return largest, alone


def show(results: Mapping[str, Result]) -> None:
    """Print the table: a line for each tracker and condition."""
    rows = [
        [name, condition, *(cell(value, ".3g") for value in asdict(each).values()), f"{result.real_time_factor:.4f}"]
        for name, result in results.items()
        for condition, each in result.conditions.items()
    ]
    headers = ["tracker", "condition", "accuracy", "gross errors", "false voicing", "recall", "RTF, 1 thread"]
    emit(table(rows, headers))
