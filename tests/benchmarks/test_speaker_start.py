"""The benchmark of the two starts of a voice: which recordings are taken, and how starts are compared."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.sources import pick_recordings, stage
from benchmarks.speaker_start import MEL, RATE, parse, show
from utils.audio.io import save_audio
from utils.errors import DataError


def recordings(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"{index}.wav" for index in range(count)]
    for path in paths:
        save_audio(path, np.zeros(RATE, np.float32), RATE)
    return paths


def test_more_minutes_hold_the_recordings_of_fewer(tmp_path: Path) -> None:
    paths = recordings(tmp_path, 8)

    few, more = pick_recordings(paths, 2.5), pick_recordings(paths, 5)

    assert len(few) == 3 and len(more) == 5
    assert set(few) < set(more)
    assert pick_recordings(paths, 2.5) == few
    with pytest.raises(DataError, match="only 8 s of recordings, 60 s are needed"):
        pick_recordings(paths, 60)


def test_a_folder_of_links_holds_nothing_else(tmp_path: Path) -> None:
    paths = recordings(tmp_path / "all", 3)

    stage(paths, tmp_path / "some")
    folder = stage(paths[:1], tmp_path / "some")

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
