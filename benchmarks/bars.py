"""Requirements of a benchmark: what was measured, the bound, and whether it is reached."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from utils.console import emit, table


@dataclass(frozen=True)
class Bar:
    """A requirement and what was measured.

    Attributes:
        name: what is measured.
        value: None if it could not be measured.
        limit: None if what it depends on could not be measured.
        at_least: whether more is better.
    """

    name: str
    value: float | None
    limit: float | None
    at_least: bool

    @property
    def is_reached(self) -> bool:
        """Whether the requirement is met; one that could not be measured is not, nor is NaN."""
        if self.value is None or self.limit is None:
            return False
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    @property
    def outcome(self) -> str:
        """The requirement's state in words."""
        if self.value is None or self.limit is None:
            return "not measured"
        return "reached" if self.is_reached else "MISSED"


def all_reached(bars: Sequence[Bar]) -> bool:
    """Return whether there are bars and every one is reached."""
    return bool(bars) and all(bar.is_reached for bar in bars)


def show_bars(bars: Sequence[Bar]) -> None:
    """Print a line for each bar."""
    rows = [
        [bar.name, _figure(bar.value), f"{'at least' if bar.at_least else 'at most'} {_figure(bar.limit)}", bar.outcome]
        for bar in bars
    ]
    emit(table(rows, ["bar", "value", "bound", "outcome"]))


def plain_bars(bars: Sequence[Bar]) -> list[dict[str, Any]]:
    """Return the bars as plain data."""
    return [{**asdict(bar), "is_reached": bar.is_reached} for bar in bars]


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
