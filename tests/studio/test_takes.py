"""Takes: one file a sentence, replaced when it is read again, and what is wrong with it in a word."""

from pathlib import Path

import pytest

from studio.takes import Take, Takes
from studio.workspace import Workspace
from utils.errors import ConfigError

GOOD = Take(seconds=3, level_db=-20, peak_db=-6, pitch_low_hz=100, pitch_median_hz=120, pitch_high_hz=180)


def test_a_sentence_that_is_read_again_replaces_the_first(tmp_path: Path) -> None:
    takes = Takes(Workspace(tmp_path), "anna")

    takes.save("en", 0, [b"RIFF one"], GOOD)
    takes.save("en", 0, [b"RIFF two"], GOOD)

    assert [path.name for path in sorted((tmp_path / "recordings" / "anna").iterdir())] == ["en_01.wav"]
    assert takes.path("en", 0).read_bytes() == b"RIFF two"
    assert takes.of("en") == {0: GOOD}


def test_the_summary_adds_up_what_was_read(tmp_path: Path) -> None:
    takes = Takes(Workspace(tmp_path), "anna")
    for number in range(3):
        takes.save("en", number, [b"RIFF"], GOOD)

    found = takes.summary("en")

    assert found["minutes"] == pytest.approx(9 / 60)
    assert 0 < found["coverage"] < 1
    assert (found["low_hz"], found["high_hz"]) == (100, 180)


def test_there_is_no_take_of_a_sentence_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no sentence 99"):
        Takes(Workspace(tmp_path), "anna").save("en", 99, [b"RIFF"], GOOD)


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"seconds": 3.0, "level_db": -20, "peak_db": -6}, ""),
        ({"seconds": 3.0, "level_db": -20, "peak_db": -6, "clipped": 3}, "clipped"),
        ({"seconds": 3.0, "level_db": -50, "peak_db": -30}, "quiet"),
        ({"seconds": 0.4, "level_db": -20, "peak_db": -6}, "short"),
        ({"seconds": float("nan"), "level_db": "x"}, "short"),
    ],
)
def test_what_is_wrong_with_a_take_is_one_word(values: dict[str, object], fault: str) -> None:
    assert Take.of(values).fault == fault


def test_what_was_measured_and_cannot_be_read_is_said_and_kept(tmp_path: Path) -> None:
    takes = Takes(Workspace(tmp_path), "anna")
    takes.save("en", 0, [b"RIFF"], GOOD)
    assert takes.unreadable is None
    facts = tmp_path / ".studio" / "takes" / "anna.json"
    facts.write_text('{"en_01.wav": {"seconds": 3', "utf-8")

    damaged = takes.unreadable
    takes.save("en", 1, [b"RIFF"], GOOD)
    kept = takes.unreadable

    assert damaged == facts
    assert kept is not None and kept != facts and kept.read_text("utf-8") == '{"en_01.wav": {"seconds": 3'
    assert takes.of("en") == {0: Take(), 1: GOOD}
