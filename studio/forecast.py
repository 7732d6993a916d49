"""What a training will take, from what earlier ones on this disk took."""

from pathlib import Path

from studio.texts import Texts
from studio.workspace import read_json

MOST_RUNS = 5


def steps_per_minute(folder: Path) -> float | None:
    """Return the updates a minute of the newest runs of a workspace, validations included; None where there is none."""
    places = sorted((folder / "runs").glob("*/metrics.json"), key=lambda path: path.stat().st_mtime)[-MOST_RUNS:]
    found = [read_json(path) for path in places]
    steps, seconds = (sum(float(item.get(key) or 0) for item in found) for key in ("steps", "seconds"))
    return 60 * steps / seconds if steps and seconds else None


def forecast(folder: Path, minutes: float | None, say: Texts) -> str:
    """Return in words how far a training of so many minutes will come."""
    speed = steps_per_minute(folder)
    if minutes is None:
        return say("train.forecast_open") if speed is None else say("train.forecast_speed", speed=round(speed))
    if speed is None:
        return say("train.forecast_unknown", minutes=f"{minutes:g}")
    return say("train.forecast", minutes=f"{minutes:g}", steps=round(speed * minutes))
