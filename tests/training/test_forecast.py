"""What a training says after 50 updates: its end, when such trainings stop gaining, memory."""

import json
from pathlib import Path

import pytest

from tests.tools.document_tools import ROOT
from tests.tools.training_tools import make_dataset, training
from utils.training.fit import train
from utils.training.forecast import MEASURED, Forecast, Measured, spoken, watched_like


def forecast(**changed: object) -> Forecast:
    values = {
        "step": 50, "updates_per_second": 0.5, "end_seconds": 7200.0, "ends_by": "trainer.steps=3650",
        "gain_updates": 1000, "gain_seconds": 1900.0, "gain_minutes": 14.3, "gain_source": "a.md",
        "memory_bytes": 2**31, "memory_free_bytes": 3 * 2**29, "memory_of": "this machine",
    }  # fmt: skip
    return Forecast(**(values | changed))  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_run_tells_its_forecast_once_after_fifty_updates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["trainer.validate_every=30", "discriminator=none"]

    run = train(training(make_dataset(tmp_path), tmp_path, "forecast", 110, *small))

    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("forecast: ")]
    assert [line.split(": ")[1] for line in told] == ["the end", "trainings like this stop gaining", "memory"]
    assert "trainer.steps=110" in told[0] and "not measured" in told[1]
    found = Forecast.read(run)
    assert found is not None and found.step == 50
    assert found.end_seconds == pytest.approx(60 / found.updates_per_second)


def test_the_lines_say_when_and_where_that_was_measured() -> None:
    assert forecast().lines == [
        ("the end", "in 2 h 0 min, by trainer.steps=3650; 0.5 updates a second"),
        (
            "trainings like this stop gaining",
            "after about 1000 updates, in 32 min (one with 14.3 minutes of recordings was watched: a.md)",
        ),
        ("memory", "2.0 GiB in use, 1.5 GiB of this machine are free"),
    ]
    assert "that is past" in forecast(gain_seconds=0.0).lines[1][1]


def test_the_nearest_watched_training_of_the_same_start_counts() -> None:
    short, long = (watched_like("LiteVoice", minutes, is_from_base=False) for minutes in (1.5, 9.0))

    assert short is not None and short.minutes == 1.0
    assert long is not None and long.minutes == 14.3
    assert watched_like("RVCModel", 10.0, is_from_base=False) is None


@pytest.mark.parametrize("row", MEASURED, ids=lambda row: f"{row.source[-40:]}-{row.minutes}")
def test_each_watched_training_stands_in_its_source(row: Measured) -> None:
    assert str(row.updates) in (ROOT / row.source).read_text("utf-8")


def test_times_are_spoken() -> None:
    assert [spoken(value) for value in (7.4, 89.0, 600.0, 11100.0, 200000.0)] == [
        "7 s", "89 s", "10 min", "3 h 5 min", "2 d 7 h",
    ]  # fmt: skip


def test_a_damaged_file_is_no_forecast(tmp_path: Path) -> None:
    forecast().write(tmp_path)
    assert Forecast.read(tmp_path) == forecast()
    (tmp_path / "forecast.json").write_text(json.dumps({"step": 1}), "utf-8")

    assert Forecast.read(tmp_path) is None
