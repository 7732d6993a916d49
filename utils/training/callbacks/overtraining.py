"""When to stop: the rule that calls a run overtrained, judged on held-out recordings alone.

With v_1..v_n the held-out criterion (lower is better) at the updates s_1 < ... < s_n:

    m_i = median(v_{i-w+1}, ..., v_i)                                    smoothed; i >= w
    B   = m_i, s_B = s_i   whenever   m_i < (1 - d) B                    best, renewed by at least the share d
    e_i = 1.4826 * median(|v_j - median(v_{j-h}, ..., v_{j+h})|, last 40 j <= i-h)   noise of one value about its trend
    T_i = max(d B, 4 e_i)                                                what counts as worse; h = 8, early (i-1)/4

The run is overtrained at s_i if m > B + T at every validation from some s_k on, with s_i - s_k >= patience. It has
stalled if s_i - s_B >= plateau_patience. 1.4826 turns a median absolute deviation into a standard deviation (of normal
noise); it takes four deviations of a single value because B is the lowest of many noisy medians and neighbouring
values may err together. docs/training.md has the false alarms and the delay of it (python -m benchmarks.overtraining
--curves).
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pytorch_lightning as lightning
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Callback

from models.adversarial import AdversarialTraining
from utils.config import check_range
from utils.console import emit
from utils.errors import ConfigError
from utils.training.callbacks.progress import clear_progress

MODES = ("stop", "warn", "off")
CRITERION = "val/mel"
NOISE_REACH = 8  # h, values on either side of the one whose noise is looked at
NOISE_VALUES = 40
DEVIATIONS = 4.0
MAD_TO_DEVIATION = 1.4826


@dataclass(frozen=True, kw_only=True)
class OvertrainingRule:
    """What the rule may be told.

    Attributes:
        smooth: w, validations behind a smoothed value.
        patience: updates during which the criterion has to stand above its best without a break.
        min_improvement: d, the smallest change that counts, as a share of the best.
        plateau_patience: updates without a new best after which a run has stalled; None: never.
        first_step: validations before this update are not judged, for example while the adversary has not joined.
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
        best_step: update of the lowest single value; best.ckpt holds the latest weights within 0.1 % of it.
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
    """The rule, fed with one value after the other.

    Its state is the values themselves: a resumed run comes to the same verdicts, and one resumed with another rule to
    those of that rule.
    """

    def __init__(self, rule: OvertrainingRule) -> None:
        self.rule = rule
        self.verdict: Verdict | None = None
        self._seen: list[tuple[int, float]] = []
        self._judged: list[tuple[int, float]] = []
        self._reference = math.inf
        self._reference_step = 0
        self._risen_since: int | None = None

    def update(self, step: int, value: float) -> Verdict | None:
        """Take the criterion at an update; returns the verdict that holds now. A step seen before changes nothing."""
        if self._seen and step <= self._seen[-1][0]:
            return self.verdict
        self._seen.append((step, float(value)))
        if step >= self.rule.first_step:
            self._judged.append((step, value if math.isfinite(value) else math.inf))
            if len(self._judged) >= self.rule.smooth:
                self._judge(step)
        return self.verdict

    def state_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return {"steps": [step for step, _ in self._seen], "values": [value for _, value in self._seen]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Forget all and judge the values of an earlier part of the run again."""
        self.__init__(self.rule)  # type: ignore[misc]
        for step, value in zip(state["steps"], state["values"], strict=True):
            self.update(int(step), float(value))

    def _judge(self, step: int) -> None:
        smoothed = statistics.median([value for _, value in self._judged[-self.rule.smooth :]])
        if smoothed < (1 - self.rule.min_improvement) * self._reference:
            self._reference, self._reference_step = smoothed, step
            self._risen_since = self.verdict = None
            return
        noise = noise_of([value for _, value in self._judged])
        if smoothed <= self._reference + max(self.rule.min_improvement * self._reference, DEVIATIONS * noise):
            self._risen_since = None
        elif self._risen_since is None:
            self._risen_since = step
        if self._risen_since is not None and step - self._risen_since >= self.rule.patience:
            self._decide("overtrained", step, smoothed, self._risen_since, noise)
        elif self.rule.plateau_patience is not None and step - self._reference_step >= self.rule.plateau_patience:
            self._decide("stalled", step, smoothed, self._reference_step, noise)
        else:
            self.verdict = None

    def _decide(
        self, kind: Literal["overtrained", "stalled"], step: int, value: float, since: int, noise: float
    ) -> None:
        best_step, best_value = min(self._judged, key=lambda item: item[1])
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


class OvertrainingWatch(Callback):
    """Stops a run that is overtrained, or only says so.

    Args:
        rule: what counts.
        mode: "stop" or "warn".
    """

    def __init__(self, rule: OvertrainingRule, mode: str) -> None:
        self.detector = OvertrainingDetector(rule)
        self.mode = mode
        self._is_said = False

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """End a resumed run at once if it ended for this reason."""
        verdict = self.detector.verdict
        if verdict is not None and self.mode == "stop":
            _say(trainer, f"overtraining: nothing to do, {verdict.describe()}; overtraining=warn goes on all the same")
            trainer.should_stop = True

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Judge the newest value."""
        assert isinstance(pl_module, AdversarialTraining)
        value = trainer.callback_metrics.get(CRITERION)
        if value is None or trainer.sanity_checking:
            return
        verdict = self.detector.update(pl_module.steps, float(value))
        if verdict is None:
            self._is_said = False
        elif not self._is_said:
            action = "stopping" if self.mode == "stop" else "going on (overtraining=warn)"
            _say(trainer, f"overtraining: {verdict.describe()}; {action}, checkpoints/best.ckpt keeps the best")
            self._is_said = True
        if verdict is not None and self.mode == "stop":
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """Return the detector's values for the checkpoint."""
        return self.detector.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the values of an earlier part of the run."""
        self.detector.load_state_dict(state_dict)
        self._is_said = self.detector.verdict is not None


def build_watch(config: DictConfig) -> list[Callback]:
    """Return the callback that the group `overtraining` describes, none with mode off.

    Raises:
        ConfigError: if a value is out of range.
    """
    settings = config.overtraining
    if settings.mode not in MODES:
        raise ConfigError(f"overtraining.mode={settings.mode} is unknown; allowed: {', '.join(MODES)}")
    check_range("overtraining.smooth", settings.smooth, 1)
    check_range("overtraining.patience", settings.patience, 1)
    check_range("overtraining.min_improvement", settings.min_improvement, 0, 0.5)
    if settings.plateau_patience is not None:
        check_range("overtraining.plateau_patience", settings.plateau_patience, 1)
    if settings.mode == "off":
        return []
    rule = OvertrainingRule(
        smooth=int(settings.smooth),
        patience=int(settings.patience),
        min_improvement=float(settings.min_improvement),
        plateau_patience=None if settings.plateau_patience is None else int(settings.plateau_patience),
        first_step=int(settings.first_step),
    )
    return [OvertrainingWatch(rule, str(settings.mode))]


def _say(trainer: lightning.Trainer, text: str) -> None:
    if trainer.is_global_zero:
        clear_progress(trainer)
        emit(text)
