"""When to stop: the rule that calls a run overtrained, from the criterion of the held-out recordings alone.

With v_1..v_n the held-out criterion (lower is better) at the updates s_1 < ... < s_n:

    m_i = median(v_{i-w+1}, ..., v_i)                                    smoothed; i >= w
    B   = m_i, s_B = s_i   whenever   m_i < (1 - d) B                    best, renewed by at least the share d
    e_i = 1.4826 * median(|v_j - median(v_{j-h}, ..., v_{j+h})|, last 40 j <= i-h)   noise of one value about its trend
    T_i = max(d B, 4 e_i)                                                what counts as worse; h = 8, early (i-1)/4

The run is overtrained at s_i if m > B + T at every validation from some s_k on, with s_i - s_k >= patience. It has
stalled if s_i - s_B >= plateau_patience. 1.4826 turns a median absolute deviation into a standard deviation (of normal
noise); it takes four deviations of a single value because B is the lowest of many noisy medians and neighbouring
values may err together. How often it is wrong, and how late: benchmarks/results/overtraining_any_2026-11-21.md
(python -m benchmarks.overtraining --curves).
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from utils.training.criterion import CRITERION

NOISE_REACH = 8  # h, values on either side of the one whose noise is looked at
NOISE_VALUES = 40
DEVIATIONS = 4.0
MAD_TO_DEVIATION = 1.4826


@dataclass(frozen=True, kw_only=True)
class OvertrainingRule:
    """Settings of the rule.

    Attributes:
        smooth: w, validations behind a smoothed value.
        patience: updates during which the criterion has to stand above its best without a break.
        min_improvement: d, the smallest change that counts, as a share of the best.
        plateau_patience: updates without a new best after which a run has stalled; None: never.
        first_step: validations before this update do not count, for example while the discriminator has not joined.
    """

    smooth: int = 5
    patience: int = 3000
    min_improvement: float = 0.01
    plateau_patience: int | None = None
    first_step: int = 0


@dataclass(frozen=True)
class Verdict:
    """Why a run should end.

    Attributes:
        kind: "overtrained" or "stalled".
        step: update at which this was found.
        value: smoothed criterion there.
        since: first update of the rise, or of the plateau.
        reference: B, the best smoothed criterion.
        noise: e, standard deviation of one value.
        best_step: update of the lowest single value; best.ckpt has the latest weights within 0.1 % of it.
        best_value: that value.
    """

    kind: Literal["overtrained", "stalled"]
    step: int
    value: float
    since: int
    reference: float
    noise: float
    best_step: int
    best_value: float

    def describe(self) -> str:
        """Return one line: where the best was, how much worse it is now and since when."""
        best = f"{CRITERION} was best at step {self.best_step} ({self.best_value:.4f})"
        change = 100 * (self.value / self.reference - 1)
        smoothed = f"smoothed {self.value:.4f} against {self.reference:.4f}, noise {self.noise:.4f}"
        if self.kind == "stalled":
            return f"{best} and has not become better since step {self.since} ({smoothed}; {change:+.1f} %)"
        return f"{best} and has been worse since step {self.since}: {change:+.1f} % at step {self.step} ({smoothed})"


class OvertrainingDetector:
    """The rule, given one value after the other.

    Its state is the values themselves: a resumed run comes to the same verdicts, also where it is resumed
    with another rule.
    """

    def __init__(self, rule: OvertrainingRule) -> None:
        self.rule = rule
        self.verdict: Verdict | None = None
        self._seen: list[tuple[int, float]] = []
        self._counted: list[tuple[int, float]] = []
        self._reference = math.inf
        self._reference_step = 0
        self._risen_since: int | None = None

    def update(self, step: int, value: float) -> Verdict | None:
        """Take the criterion at an update; returns the verdict as of now. A step seen before is ignored."""
        if self._seen and step <= self._seen[-1][0]:
            return self.verdict
        self._seen.append((step, float(value)))
        if step >= self.rule.first_step:
            self._counted.append((step, value if math.isfinite(value) else math.inf))
            if len(self._counted) >= self.rule.smooth:
                self._decide(step)
        return self.verdict

    def state_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {"steps": [step for step, _ in self._seen], "values": [value for _, value in self._seen]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Start again with the values of an earlier part of the run."""
        self.__init__(self.rule)  # type: ignore[misc]
        for step, value in zip(state["steps"], state["values"], strict=True):
            self.update(int(step), float(value))

    def _decide(self, step: int) -> None:
        smoothed = statistics.median([value for _, value in self._counted[-self.rule.smooth :]])
        if smoothed < (1 - self.rule.min_improvement) * self._reference:
            self._reference, self._reference_step = smoothed, step
            self._risen_since = self.verdict = None
            return
        noise = noise_of([value for _, value in self._counted])
        if smoothed <= self._reference + max(self.rule.min_improvement * self._reference, DEVIATIONS * noise):
            self._risen_since = None
        elif self._risen_since is None:
            self._risen_since = step
        if self._risen_since is not None and step - self._risen_since >= self.rule.patience:
            self._conclude("overtrained", step, smoothed, self._risen_since, noise)
        elif self.rule.plateau_patience is not None and step - self._reference_step >= self.rule.plateau_patience:
            self._conclude("stalled", step, smoothed, self._reference_step, noise)
        else:
            self.verdict = None

    def _conclude(
        self, kind: Literal["overtrained", "stalled"], step: int, value: float, since: int, noise: float
    ) -> None:
        best_step, best_value = min(self._counted, key=lambda item: item[1])
        self.verdict = Verdict(kind, step, value, since, self._reference, noise, best_step, best_value)


def noise_of(values: Sequence[float]) -> float:
    """Return the standard deviation of single values about the median of their neighbours on both sides."""
    reach = min(NOISE_REACH, (len(values) - 1) // 4)
    if reach < 1:
        return 0.0
    windows = np.lib.stride_tricks.sliding_window_view(np.asarray(values[-NOISE_VALUES - 2 * reach :]), 2 * reach + 1)
    # a value that is not finite is as far from its neighbours as can be, which a median forgives
    distances = np.nan_to_num(np.abs(windows[:, reach] - np.median(windows, axis=1)), nan=np.inf)
    return MAD_TO_DEVIATION * float(np.median(distances))
