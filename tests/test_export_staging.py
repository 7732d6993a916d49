"""Delivery in one piece: an earlier export is never damaged."""

import os
from pathlib import Path

import pytest

from utils.errors import ConfigError
from utils.export import staging
from utils.export.staging import move_into_place, staging_folder


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def test_staged_files_replace_old_ones_and_leave_others(tmp_path: Path) -> None:
    target = tmp_path / "voice"
    write(target, graph="old", stale="old", mine="mine")

    with staging_folder(target) as staged:
        write(staged, graph="new", card="new")
        moved = move_into_place(staged, target, lambda path: path.name == "stale")

    assert contents(target) == {"graph": "new", "card": "new", "mine": "mine"}
    assert [path.name for path in moved] == ["card", "graph"]
    assert [path.name for path in tmp_path.iterdir()] == ["voice"]


def test_an_error_before_moving_leaves_nothing_behind(tmp_path: Path) -> None:
    target = tmp_path / "voice"
    write(target, graph="old")

    with pytest.raises(RuntimeError), staging_folder(target) as staged:
        write(staged, graph="new")
        raise RuntimeError

    assert contents(target) == {"graph": "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["voice"]


def test_an_error_while_moving_restores_the_old_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "voice"
    write(target, a="old", b="old", stale="old")
    move = staging._move

    def fail_on_b(source: Path, destination: Path, moved: list[tuple[Path, Path]]) -> None:
        if source.name == "b" and destination.parent == target:
            raise OSError("disk full")
        move(source, destination, moved)

    monkeypatch.setattr(staging, "_move", fail_on_b)
    with pytest.raises(OSError, match="disk full"), staging_folder(target) as staged:
        write(staged, a="new", b="new")
        move_into_place(staged, target, lambda path: path.name == "stale")

    assert contents(target) == {"a": "old", "b": "old", "stale": "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["voice"]


def test_what_a_killed_export_left_is_removed_after_a_day(tmp_path: Path) -> None:
    old, recent = tmp_path / ".voice.staging-old", tmp_path / ".voice.staging-recent"
    write(old, graph="half")
    write(recent, graph="half")
    os.utime(old, (0, 0))

    with staging_folder(tmp_path / "voice"):
        pass

    assert [path.name for path in tmp_path.iterdir()] == [recent.name]


def test_a_folder_named_like_a_new_file_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "voice"
    write(target / "graph", mine="mine")

    with (
        pytest.raises(ConfigError, match="graph is a folder where the export puts a file"),
        staging_folder(target) as staged,
    ):
        write(staged, graph="new", card="new")
        move_into_place(staged, target, lambda path: False)

    assert contents(target / "graph") == {"mine": "mine"}
    assert [path.name for path in target.iterdir()] == ["graph"]
    with pytest.raises(ConfigError, match="graph is a folder"), staging_folder(target, ["graph"]):
        pytest.fail("the work has begun")


@pytest.mark.parametrize(
    ("occupied", "message"),
    [("out", "export.root: .* since .*out is a file"), ("out/voice", "name: .* since .*voice is a file")],
)
def test_an_occupied_place_is_refused_before_the_work(tmp_path: Path, occupied: str, message: str) -> None:
    place = tmp_path / occupied
    place.parent.mkdir(exist_ok=True)
    place.write_text("mine")

    with pytest.raises(ConfigError, match=message) as caught, staging_folder(tmp_path / "out" / "voice"):
        pytest.fail("the work has begun")

    assert "\n" not in str(caught.value)
    assert place.read_text() == "mine"


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)

    with pytest.raises(ConfigError, match=r"export.root: nothing may be written to .*; choose another export.root="):
        staging_folder(tmp_path / "out" / "voice").__enter__()
