"""The benchmark of the two starts of a voice: which recordings are taken, and how starts are compared."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.speaker_start import MEL, RATE, first_minutes, linked, parse, show
from utils.audio.io import save_audio
from utils.errors import DataError


def recordings(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"{index}.wav" for index in range(count)]
    for path in paths:
        save_audio(path, np.zeros(RATE, np.float32), RATE)
    return paths


def test_more_minutes_hold_the_recordings_of_fewer(tmp_path: Path) -> None:
    paths = recordings(tmp_path, 8)

    few, more = first_minutes(paths, 2.5 / 60), first_minutes(paths, 5 / 60)

    assert len(few) == 3 and len(more) == 5
    assert set(few) < set(more)
    assert first_minutes(paths, 2.5 / 60) == few
    with pytest.raises(DataError, match=r"only 0\.1 minutes"):
        first_minutes(paths, 1)


def test_a_folder_of_links_holds_nothing_else(tmp_path: Path) -> None:
    paths = recordings(tmp_path / "all", 3)

    linked(tmp_path / "some", paths)
    folder = linked(tmp_path / "some", paths[:1])

    assert [path.resolve() for path in folder.iterdir() if path.suffix] == [paths[0].resolve()]


def test_differences_are_taken_over_the_same_clips(capsys: pytest.CaptureFixture[str]) -> None:
    def rows(offset: float) -> list[dict[str, object]]:
        return [{"file": str(index), MEL: 0.5 + 0.1 * index + offset} for index in range(4)]

    found = show(0.5, {50: {"mean": rows(0.0), "fitted": rows(-0.02)}})

    assert found[50][MEL].mean == pytest.approx(-0.02)
    assert found[50][MEL].high == pytest.approx(-0.02)
    line = next(line for line in capsys.readouterr().out.splitlines() if "val/mel" in line)
    assert line.split()[:4] == ["50", "val/mel", "0.6500", "0.6300"]


def test_lengths_and_updates_leave_room_for_settings() -> None:
    options = parse(["--minutes", "0.5,3", "--updates", "0,50", "data.batch_size=4"])

    assert (options.minutes, options.updates, options.train) == ([0.5, 3.0], [0, 50], ["data.batch_size=4"])
