"""What a training will take: told after its first updates, on the console and on its page. No PyTorch here."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from utils.files import atomic_write_json, read_json

FORECAST_FILE = "forecast.json"
GIBIBYTE = 2**30
RESULTS = "benchmarks/results"


class Measured(NamedTuple):
    """A training that was watched: its start, minutes of recordings, the update of its best state, the source."""

    model: str
    is_from_base: bool
    minutes: float
    updates: int
    source: str


# by the held-out loss; similarity may still rise a little (fine_tune_settings_2core-avx512_2026-11-22)
MEASURED = (
    Measured("LiteVoice", True, 14.3, 1000, f"{RESULTS}/voice_quality_2core-avx512_2026-11-29.md"),
    Measured("LiteVoice", False, 1.0, 300, f"{RESULTS}/overtraining_2core-avx512_2026-11-21.md"),
    Measured("LiteVoice", False, 14.3, 1900, f"{RESULTS}/fine_tune_2core-avx512_2026-11-29.md"),
)


@dataclass(frozen=True)
class Forecast:
    """What a training will take, as it looked after its first updates.

    Attributes:
        step: update at which this was measured.
        updates_per_second: without validations.
        end_seconds: until the configured end, without validations.
        ends_by: the key that ends the run, with its value.
        gain_updates: after which trainings like this one stop gaining; None where none was watched.
        gain_seconds: until then; 0 where it is past.
        gain_minutes: of recordings that the watched training had.
        gain_source: file that says so.
        memory_bytes: in use.
        memory_free_bytes: head-room.
        memory_of: whose memory: "this machine" or "the GPU".
    """

    step: int
    updates_per_second: float
    end_seconds: float
    ends_by: str
    gain_updates: int | None
    gain_seconds: float | None
    gain_minutes: float | None
    gain_source: str | None
    memory_bytes: int
    memory_free_bytes: int
    memory_of: str

    @property
    def lines(self) -> list[tuple[str, str]]:
        """What a person is told: what, and how much."""
        end = f"in {spoken(self.end_seconds)}, by {self.ends_by}; {self.updates_per_second:.3g} updates a second"
        if self.gain_updates is None or self.gain_seconds is None:
            gain = "was not measured for such a training"
        else:
            when = f"in {spoken(self.gain_seconds)}" if self.gain_seconds else "that is past"
            watched = f"one with {self.gain_minutes:g} minutes of recordings was watched: {self.gain_source}"
            gain = f"after about {self.gain_updates} updates, {when} ({watched})"
        used, free = (value / GIBIBYTE for value in (self.memory_bytes, self.memory_free_bytes))
        memory = f"{used:.1f} GiB in use, {free:.1f} GiB of {self.memory_of} are free"
        return [("the end", end), ("trainings like this stop gaining", gain), ("memory", memory)]

    def write(self, run: Path) -> None:
        """Write <run>/forecast.json."""
        atomic_write_json(run / FORECAST_FILE, asdict(self))

    @classmethod
    def read(cls, run: Path) -> "Forecast | None":
        """Read it; None where there is none, or none that can be read."""
        try:
            return cls(**read_json(run / FORECAST_FILE))
        except (OSError, ValueError, TypeError):
            return None


def watched_like(model: str, minutes: float, *, is_from_base: bool) -> Measured | None:
    """Return the watched training that is most like one: the same network and start, the nearest minutes in ratio."""
    alike = [item for item in MEASURED if (item.model, item.is_from_base) == (model, is_from_base)]
    return min(alike, key=lambda item: abs(math.log(item.minutes / max(minutes, 0.01))), default=None)


def spoken(seconds: float) -> str:
    """Return "40 s", "12 min", "3 h 5 min" or "2 d 4 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"
