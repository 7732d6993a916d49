"""The figures of a run, from metrics.csv and config.yaml, as curves with what they mean."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from utils.evaluation.figures import describe_figure
from utils.evaluation.score import SCORE
from utils.reports.charts import Axis, Chart, short
from utils.training.criterion import CRITERION, is_best
from utils.training.metrics_table import STEP, read_rows
from utils.training.overtraining import OvertrainingDetector, OvertrainingRule, Verdict

Series = list[tuple[int, float]]  # (step, value)
# column -> title, unit and what to look for
MEANINGS = {
    CRITERION: ("Held-out loss", "log-mel distance", "recordings that were kept out of the training; lower is better"),
    "val/f0_error_cents": ("Pitch error", "cents", "asked for against measured; 100 cents are a semitone"),
    "val/voicing_error": ("Voicing error", "share of frames", "voiced in one alone, of asked for and measured"),
    "train/generator/total": ("Training loss", "weighted sum", "of the generator; it need not fall once it is judged"),
    "train/generator/spectral": ("Spectral loss", "raw", "distance to the recordings that are trained on"),
    "train/discriminator/total": ("Discriminator", "raw", "0: it wins; it should neither win nor lose for long"),
    "performance/steps_per_second": ("Speed", "updates a second", "without validation"),
}
HIDDEN = ("val/best_mel",)
HELD_OUT = "held_out_"
JUDGED = "evaluation/"
SERIES = ("val/", JUDGED)  # further columns of these are drawn too


@dataclass
class RunCurves:
    """What a run measured.

    Attributes:
        series: column of metrics.csv -> its values.
        chosen: step and value of the state in best.ckpt; None before the first validation.
        verdict: of the rule of overtraining; None while it sees nothing.
        best_from_step: the update from which on a state can be the best.
    """

    series: dict[str, Series] = field(default_factory=dict)
    chosen: tuple[int, float] | None = None
    verdict: Verdict | None = None
    best_from_step: int = 0

    @property
    def held_out(self) -> Series:
        """The criterion of each validation."""
        return self.series.get(CRITERION, [])


def read_curves(path: Path, rule: OvertrainingRule, best_from_step: int = 0) -> RunCurves:
    """Read metrics.csv and apply the rules that choose the best state and call a run overtrained.

    Args:
        path: of metrics.csv; a run that has not logged anything has none.
        rule: of overtraining.
        best_from_step: the update from which on a state can be the best.
    """
    series = read_table(path)
    curves = RunCurves(series, best_from_step=best_from_step)
    detector, lowest, best_step = OvertrainingDetector(rule), math.inf, 0
    for step, value in curves.held_out:
        detector.update(step, value)
        replaces_all = math.isfinite(value) and best_step < best_from_step <= step
        if replaces_all or is_best(value, lowest):
            lowest, best_step = value if replaces_all else min(value, lowest), step
            curves.chosen = (step, value)
    curves.verdict = detector.verdict
    return curves


def read_table(path: Path) -> dict[str, Series]:
    """Return the columns of metrics.csv; a row that is being written is left out, as is what is no number."""
    series: dict[str, Series] = {}
    for row in read_rows(path):
        step = int(row.pop(STEP))
        for key, text in row.items():
            if text:
                series.setdefault(key, []).append((step, _number(text)))
    return series


def charts_of(curves: RunCurves, *, judged: bool = False) -> list[Chart]:
    """Return a plot for each figure that is known or belongs to a validation, the held-out criterion first.

    Args:
        curves: of the run.
        judged: return those of judged states, the score first, instead of all others.
    """
    keys = [key for key in curves.series if key.startswith(JUDGED) == judged and key not in HIDDEN]
    keys = [key for key in keys if own_sentences(key.replace(HELD_OUT, "")) != key]  # they share a plot with strangers
    known = [key for key in (f"{JUDGED}{SCORE}", *MEANINGS) if key in keys]
    others = sorted(key for key in keys if key.startswith(SERIES) and key not in known)
    charts = [curve_chart(key, curves.series[key], curves.series.get(own_sentences(key))) for key in [*known, *others]]
    for key, chart in zip([*known, *others], charts, strict=True):
        if curves.chosen and key.startswith(SERIES) and len(curves.series[key]) > 1:
            chart.add_mark(curves.chosen[0], f"chosen: step {curves.chosen[0]}")
        if key == CRITERION and curves.verdict is not None:
            kind = "overtrained" if curves.verdict.kind == "overtrained" else "no further gain"
            chart.add_band(curves.verdict.since, curves.held_out[-1][0], f"{kind} since step {curves.verdict.since}")
    return charts


def own_sentences(key: str) -> str:
    """Return the column of held-out sentences that belongs to one of strangers; empty for other columns."""
    return f"{JUDGED}{HELD_OUT}{key.removeprefix(JUDGED)}" if key.startswith(JUDGED) else ""


def meaning_of(key: str) -> tuple[str, str, str]:
    """Return title, unit and what to look for of a column of metrics.csv."""
    if key in MEANINGS:
        return MEANINGS[key]
    name = key.partition("/")[2]
    if not key.startswith(JUDGED):
        return name.replace("_", " ").capitalize(), "", ""
    if name == SCORE:
        return "Score of strangers", "1 is best", "closeness less character error less half of what the melody lacks"
    title, note = describe_figure(name)
    return f"{title[0].upper()}{title[1:]}", "", note


def curve_chart(key: str, series: Series, own: Series | None = None) -> Chart:
    """Return the plot of one figure over the updates, of strangers beside held-out sentences where both are there."""
    title, unit, note = meaning_of(key)
    finite = [value for _, value in series if math.isfinite(value)] or [0.0]
    values = finite + [value for _, value in own or [] if math.isfinite(value)]
    low, high = min(values), max(values)
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    words = (
        f"{title}: {short(finite[0])} at the start, {short(finite[-1])} at step {series[-1][0]}, "
        f"lowest {short(min(finite))}, highest {short(max(finite))}."
    )
    x = Axis(float(series[0][0]) if len(series) > 1 else 0.0, float(series[-1][0]))
    chart = Chart(title, words, x, Axis(low - margin, high + margin), "updates", unit, note)
    chart.add_line("strangers" if own else title, [(float(step), value) for step, value in series], 0)
    if own:
        chart.add_line("held-out sentences", [(float(step), value) for step, value in own], 2)
        chart.has_legend = True
    return chart


def rule_of(settings: Mapping[str, object]) -> OvertrainingRule:
    """Return the rule that a run's section `overtraining` describes; what it does not say is the default."""
    names = ("smooth", "patience", "min_improvement", "plateau_patience", "first_step")
    given = {name: settings[name] for name in names if isinstance(settings.get(name), int | float)}
    return OvertrainingRule(**given)  # type: ignore[arg-type]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
