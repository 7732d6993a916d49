"""Plots as data: axes, curves and bars in shares of the plotting area, which the templates draw as SVG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

MOST_POINTS = 400  # of a curve; more are not seen
TICKS = 5
HUNDRED = 100.0  # the SVG is 100 x 100, whatever its size on the screen


class Tick(NamedTuple):
    """A mark on an axis: its place as a percentage and its label."""

    place: float
    label: str


class Line(NamedTuple):
    """A curve: its name, the `d` of an SVG path, and the number of its colour and dash pattern."""

    label: str
    path: str
    style: int


class Bar(NamedTuple):
    """A bar in percent of the plotting area: left edge, width, height; and the words for it."""

    left: float
    width: float
    height: float
    label: str


class Mark(NamedTuple):
    """A vertical line at a percentage, with its words."""

    place: float
    label: str
    style: int


class Band(NamedTuple):
    """A shaded stretch in percent, with its words."""

    left: float
    width: float
    label: str


@dataclass(frozen=True)
class Axis:
    """A scale from a lowest to a highest value; logarithmic where both are above 0 and it is asked for."""

    low: float
    high: float
    is_log: bool = False

    def place(self, value: float) -> float:
        """Return the percentage at which a value stands; what lies beyond is put to the end."""
        low, high, at = (math.log(max(item, 1e-9)) if self.is_log else item for item in (self.low, self.high, value))
        share = (at - low) / (high - low) if high > low else 0.5
        return round(HUNDRED * min(1.0, max(0.0, share)), 3)

    def ticks(self) -> list[Tick]:
        """Return round values along the axis."""
        return [Tick(self.place(value), short(value)) for value in self._round_values()]

    def _round_values(self) -> list[float]:
        if self.is_log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            steps = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
            return [value for value in steps if self.low <= value <= self.high]
        step = round_step((self.high - self.low) / TICKS)
        first = math.ceil(self.low / step - 1e-9)
        return [index * step for index in range(first, math.floor(self.high / step + 1e-9) + 1)]


@dataclass
class Chart:
    """A plot.

    Attributes:
        title: what it shows.
        words: one sentence that says the same to those who do not see it.
        x: the horizontal axis.
        y: the vertical axis.
        x_label: its quantity and unit.
        y_label: its quantity and unit.
        note: what the reader should look for.
        has_legend: whether the lines are named below.
    """

    title: str
    words: str
    x: Axis
    y: Axis
    x_label: str
    y_label: str
    note: str = ""
    lines: list[Line] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    bands: list[Band] = field(default_factory=list)
    has_legend: bool = False

    def add_line(self, label: str, points: Sequence[tuple[float, float]], style: int) -> None:
        """Add a curve; where a value is not a number it has a gap."""
        self.lines.append(Line(label, path_of(points, self.x, self.y), style))

    def add_mark(self, value: float, label: str, style: int = 0) -> None:
        """Add a vertical line."""
        self.marks.append(Mark(self.x.place(value), label, style))

    def add_band(self, low: float, high: float, label: str) -> None:
        """Shade a stretch of the horizontal axis."""
        left = self.x.place(low)
        self.bands.append(Band(left, max(0.5, self.x.place(high) - left), label))


def path_of(points: Sequence[tuple[float, float]], x: Axis, y: Axis) -> str:
    """Return the `d` of an SVG path through points, at most MOST_POINTS of them; a value that is no number is a gap."""
    stride = max(1, math.ceil(len(points) / MOST_POINTS))
    kept = list(points[::stride])
    if points and kept[-1] != points[-1]:
        kept.append(points[-1])
    parts, is_open = [], False
    for first, second in kept:
        if not math.isfinite(second):
            is_open = False
            continue
        parts.append(f"{'L' if is_open else 'M'}{x.place(first):g} {HUNDRED - y.place(second):g}")
        is_open = True
    return "".join(parts)


def histogram(values: np.ndarray, title: str, unit: str, *, what: str, bins: int = 24, is_log: bool = False) -> Chart:
    """Return a histogram.

    Args:
        values: [N], finite and not empty.
        title: of the plot.
        unit: of the values, for the axis.
        what: what is counted, in the plural.
        bins: number of bars.
        is_log: whether the axis is logarithmic; the values are above 0 then.
    """
    low, high = float(values.min()), float(values.max())
    if high - low < 1e-6:
        low, high = low * 0.9 - (0 if is_log else 0.5), high * 1.1 + 0.5
    edges = np.geomspace(low, high, bins + 1) if is_log else np.linspace(low, high, bins + 1)
    counts = np.histogram(np.clip(values, low, high), edges)[0]
    shares = HUNDRED * counts / max(1, len(values))
    x, y = Axis(low, high, is_log), Axis(0.0, float(shares.max()) * 1.05)
    median = float(np.median(values))
    words = f"{title}: from {short(low)} to {short(high)} {unit}, half of the {what} below {short(median)} {unit}."
    chart = Chart(title, words, x, y, unit, f"% of {what}")
    for index, share in enumerate(shares):
        left = x.place(edges[index])
        label = f"{short(edges[index])} to {short(edges[index + 1])} {unit}: {share:.1f} %"
        chart.bars.append(Bar(left, round(x.place(edges[index + 1]) - left, 3), round(y.place(share), 3), label))
    chart.add_mark(median, f"median {short(median)} {unit}")
    return chart


def round_step(step: float) -> float:
    """Return the next of 1, 2, 5, 10, 20 ... from a step on."""
    if step <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))


def short(value: float) -> str:
    """Return a number in as few digits as a reader needs: 0.42, 12.5, 191, 12 000."""
    size = abs(value)
    if size >= 10000:
        return f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    if size >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"
