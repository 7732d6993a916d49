"""The first line of a page: what the figures mean, in words."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from utils.reports.charts import short
from utils.reports.curves import RunCurves

LITTLE_MINUTES, ENOUGH_MINUTES = 3.0, 10.0
STILL_LEARNING = 0.01  # share of the criterion that the last third of the validations must have gained
FEWEST_VALIDATIONS = 4
# how much of the way from the sources to the speaker's own recordings the conversions have come
CLOSENESS = ((0.85, "Very close to the speaker"), (0.65, "Close to the speaker"), (0.4, "Half-way to the speaker"))
FAR = "Still far from the speaker"
WORDS_KEPT = ((0.05, "the words are kept"), (0.12, "some words are lost"))
WORDS_LOST = "many words are lost"


class Verdict(NamedTuple):
    """Sentences and a tone: "good", "warn" or "bad"."""

    text: str
    tone: str


@dataclass(frozen=True)
class Quality:
    """How a voice was evaluated.

    Attributes:
        closeness: share of the way from the sources to the speaker, 0 to 1; None where nobody measured it.
        character_error: None where nobody measured it.
    """

    closeness: float | None = None
    character_error: float | None = None

    @classmethod
    def of_means(cls, means: Mapping[str, float | None]) -> "Quality":
        """Read the means of an evaluation."""
        shares = []
        for key, own in means.items():
            name = key.removesuffix("_target_own")
            source, converted = means.get(f"{name}_source_to_target"), means.get(f"{name}_converted_to_target")
            if name == key or own is None or source is None or converted is None or own - source < 0.05:
                continue
            shares.append((converted - source) / (own - source))
        errors = [value for key, value in means.items() if key.endswith("_character_error") and value is not None]
        return cls(sum(shares) / len(shares) if shares else None, min(errors) if errors else None)

    @property
    def sentence(self) -> str:
        """What a listener can expect; empty where nothing was measured."""
        parts = []
        if self.closeness is not None:
            parts.append(next((words for limit, words in CLOSENESS if self.closeness >= limit), FAR))
        if self.character_error is not None:
            parts.append(next((words for limit, words in WORDS_KEPT if self.character_error <= limit), WORDS_LOST))
        text = ", ".join(parts)
        return f"{text[0].upper()}{text[1:]}" if text else ""

    @property
    def tone(self) -> str:
        """ "good", "warn" or "bad"."""
        is_bad = (self.closeness is not None and self.closeness < 0.4) or (self.character_error or 0.0) > 0.25
        is_good = (self.closeness is None or self.closeness >= 0.65) and (self.character_error or 0.0) <= 0.12
        return "bad" if is_bad else "good" if is_good else "warn"


def run_verdict(curves: RunCurves, minutes: float | None, quality: Quality) -> Verdict:
    """Return the first line of a run's page.

    Args:
        curves: its figures.
        minutes: of recordings that it trains on; None where they are not known.
        quality: of its conversions.
    """
    state, tone = _state_of(curves)
    advice = _advice(curves, minutes)
    opening = quality.sentence
    text = f"{opening}; {state[0].lower()}{state[1:]}" if opening else state
    worst = max((tone, quality.tone if opening else tone), key=["good", "warn", "bad"].index)
    return Verdict(f"{text}. {advice}".strip(), worst)


def dataset_verdict(
    minutes: float, held_out_minutes: float, dropped: int, bandwidth_is_full: bool, left_out: int = 0
) -> Verdict:
    """Return the first line of a dataset's page.

    Args:
        minutes: of all clips.
        held_out_minutes: of those that are kept out of the training.
        dropped: files that preprocess.py could not use.
        bandwidth_is_full: whether the recordings reach the upper end of the spectrum.
        left_out: recordings that the doctor would leave out.
    """
    if minutes < LITTLE_MINUTES:
        amount, tone = f"Thin: {minutes:.1f} minutes; ten more would help more than anything else", "bad"
    elif minutes < ENOUGH_MINUTES:
        amount, tone = f"Enough to begin: {minutes:.1f} minutes; a voice gains audibly up to ten", "warn"
    else:
        amount, tone = f"Enough: {minutes:.1f} minutes of speech", "good"
    parts = [amount]
    if held_out_minutes <= 0:
        parts.append("nothing is held out, so nothing can tell which state of a training is best")
    if left_out:
        parts.append(f"{left_out} recording{'s' * (left_out > 1)} had better be left out")
    if dropped:
        parts.append(f"{dropped} file{'s' * (dropped > 1)} could not be used")
    if not bandwidth_is_full:
        parts.append("the recordings do not reach the upper end of the spectrum, a lower rate would do")
    is_clean = len(parts) == 1
    return Verdict("; ".join(parts) + ".", tone if is_clean or tone == "bad" else "warn")


def export_verdict(failed: int, warned: int, tried: int, quality: Quality) -> Verdict:
    """Return the first line of an exported voice's page."""
    if failed:
        state, tone = f"{failed} of {tried} rules of the verification do not hold: do not use this file", "bad"
    elif warned:
        state, tone = f"Verified: all {tried} rules hold, {warned} with a warning", "warn"
    elif tried:
        state, tone = f"Verified: all {tried} rules hold", "good"
    else:
        state, tone = "Not verified: no card lies beside it", "warn"
    opening = quality.sentence
    text = f"{opening}; {state[0].lower()}{state[1:]}" if opening else state
    worst = max((tone, quality.tone if opening else tone), key=["good", "warn", "bad"].index)
    return Verdict(f"{text}.", worst)


def _state_of(curves: RunCurves) -> tuple[str, str]:
    held_out = [(step, value) for step, value in curves.held_out if math.isfinite(value)]
    if not curves.held_out:
        return "The training has begun; the first validation has not come yet", "warn"
    if not held_out or curves.chosen is None:
        return "The held-out loss is not a number: the training has diverged", "bad"
    chosen = f"best.ckpt is of step {curves.chosen[0]}"
    if curves.verdict is not None and curves.verdict.kind == "overtrained":
        return f"Overtrained since step {curves.verdict.since}; {chosen}, from before that", "warn"
    if len(held_out) < FEWEST_VALIDATIONS:
        return f"Too early to tell: {len(held_out)} validation{'s' * (len(held_out) > 1)} so far; {chosen}", "warn"
    gain = _late_gain(held_out)
    if gain >= STILL_LEARNING:
        return f"Still learning: the held-out loss fell by {short(100 * gain)} % in the last third; {chosen}", "good"
    if gain <= -STILL_LEARNING:
        return f"The held-out loss is rising ({short(-100 * gain)} % in the last third); {chosen}", "warn"
    return f"Has levelled off: the held-out loss hardly moves; {chosen}", "good"


def _late_gain(held_out: list[tuple[int, float]]) -> float:
    """Return the share by which the criterion fell in the last third of the validations, by medians of up to three."""
    values = [value for _, value in held_out]
    third = max(2, len(values) // 3)
    width = min(3, third)
    before, after = sorted(values[-third - 1 :][:width]), sorted(values[-width:])
    start, end = before[len(before) // 2], after[len(after) // 2]
    return (start - end) / start if start else 0.0


def _advice(curves: RunCurves, minutes: float | None) -> str:
    held_out = [(step, value) for step, value in curves.held_out if math.isfinite(value)]
    is_learning = len(held_out) >= FEWEST_VALIDATIONS and _late_gain(held_out) >= STILL_LEARNING
    if is_learning and curves.verdict is None:
        return "Longer training helps."
    if minutes is not None and minutes < ENOUGH_MINUTES and len(held_out) >= FEWEST_VALIDATIONS:
        return "More recordings would help more than longer training." if minutes < ENOUGH_MINUTES else ""
    return ""
