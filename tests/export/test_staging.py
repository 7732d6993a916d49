"""Delivery in one piece: an earlier export is never damaged."""

import itertools
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

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
    failed: list[Path] = []

    def fail_on_b(source: Path, destination: Path) -> None:
        if source.parent != target and destination == target / "b" and destination not in failed:
            failed.append(destination)
            raise OSError("disk full")
        move(source, destination)

    monkeypatch.setattr(staging, "_move", fail_on_b)
    with pytest.raises(OSError, match="disk full"), staging_folder(target) as staged:
        write(staged, a="new", b="new")
        move_into_place(staged, target, lambda path: path.name == "stale")

    assert contents(target) == {"a": "old", "b": "old", "stale": "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["voice"]


def test_what_a_killed_export_of_an_earlier_version_left_is_removed_after_a_day(tmp_path: Path) -> None:
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


OLD_VOICE = {"a": "old", "b": "mine", "stale": "old"}


def export_in_a_process(target: Path, ending: signal.Signals, moment: str, number: int) -> int | None:
    """Replace OLD_VOICE in a process that gets a signal at a call of a function; returns its exit code.

    Args:
        target: the folder.
        ending: the signal.
        moment: where in the module `staging`, as in "os.fsync".
        number: of the call.
    """
    owner, _, name = f"staging.{moment}".rpartition(".")
    holder = staging if owner == "staging" else getattr(staging, owner.removeprefix("staging."))
    function = getattr(holder, name)
    calls = itertools.count()

    def interrupted(*arguments: Any, **options: Any) -> Any:
        if next(calls) == number:
            os.kill(os.getpid(), ending)
        return function(*arguments, **options)

    def work() -> None:
        with staging_folder(target) as staged:
            write(staged, a="new", c="new")
            setattr(holder, name, interrupted)
            move_into_place(staged, target, lambda path: path.name == "stale")

    write(target, **OLD_VOICE)
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join(60)
    return process.exitcode


@pytest.mark.parametrize("number", range(4))  # two files are set aside, then two are moved in
def test_an_export_that_was_killed_while_moving_is_undone_by_the_next(
    tmp_path: Path, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    target = tmp_path / "voice"

    assert export_in_a_process(target, signal.SIGKILL, "_move", number) == -signal.SIGKILL
    with staging_folder(target):
        restored = contents(target)

    assert restored == OLD_VOICE
    assert f"{min(number, 2)} are back there" in caplog.text
    assert not list(tmp_path.glob(".voice.previous-*"))


@pytest.mark.parametrize(("moment", "number"), [("os.fsync", 0), ("json.dump", 0)])
def test_an_export_that_was_killed_before_moving_leaves_the_old_files(tmp_path: Path, moment: str, number: int) -> None:
    target = tmp_path / "voice"

    assert export_in_a_process(target, signal.SIGKILL, moment, number) == -signal.SIGKILL
    with staging_folder(target):
        found = contents(target)

    assert found == OLD_VOICE


def test_an_export_that_was_killed_while_tidying_up_has_replaced_the_old_files(tmp_path: Path) -> None:
    target = tmp_path / "voice"

    assert export_in_a_process(target, signal.SIGKILL, "shutil.rmtree", 0) == -signal.SIGKILL
    with staging_folder(target):
        found = contents(target)

    assert found == {"a": "new", "b": "mine", "c": "new"}


@pytest.mark.parametrize("number", range(4))
def test_termination_while_moving_restores_the_old_files(tmp_path: Path, number: int) -> None:
    target = tmp_path / "voice"

    assert export_in_a_process(target, signal.SIGTERM, "_move", number) == 128 + signal.SIGTERM

    assert contents(target) == OLD_VOICE
    assert [path.name for path in tmp_path.iterdir()] == ["voice"]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_files_that_another_process_is_moving_are_left_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "voice"
    write(target, **OLD_VOICE)
    move = staging._move
    seen: list[list[Path]] = []

    def move_with_another_export_beside(source: Path, destination: Path) -> None:
        with staging_folder(target):
            seen.append(list(tmp_path.glob(".voice.previous-*/files/*")))
        move(source, destination)

    monkeypatch.setattr(staging, "_move", move_with_another_export_beside)
    with staging_folder(target) as staged:
        write(staged, a="new")
        move_into_place(staged, target, lambda path: path.name == "stale")

    assert [len(paths) for paths in seen] == [0, 1, 2]
    assert contents(target) == {"a": "new", "b": "mine"}


def test_the_disk_has_the_new_files_before_the_old_ones_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "voice"
    write(target, a="old")
    events: list[str] = []
    sync, remove = staging.sync_to_disk, staging.shutil.rmtree

    def note_sync(path: Path) -> None:
        events.append(f"sync {path.name}")
        sync(path)

    def note_removal(path: Path, ignore_errors: bool = False) -> None:
        events.append(f"remove {'old' if (path / 'files').exists() else 'staging'}")
        remove(path, ignore_errors=ignore_errors)

    with staging_folder(target) as staged:
        write(staged, a="new", c="new")
        monkeypatch.setattr(staging, "sync_to_disk", note_sync)
        monkeypatch.setattr(staging.shutil, "rmtree", note_removal)
        move_into_place(staged, target, lambda path: False)

    assert events[:2] == ["sync a", "sync c"]
    assert set(events[2 : events.index("remove old")]) >= {"sync voice", "sync files", f"sync {tmp_path.name}"}


def test_what_a_version_without_plans_left_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    left = tmp_path / ".voice.previous-abc"
    write(left, graph="old")

    with staging_folder(tmp_path / "voice"):
        pass

    assert f"move back what it left in {left}" in caplog.text
    assert contents(left) == {"graph": "old"}


def test_what_killed_exports_had_filled_goes_at_the_next_export(tmp_path: Path) -> None:
    for name in ("voice", "voice", "another"):
        process = multiprocessing.get_context("fork").Process(target=fill_and_die, args=(tmp_path / name,))
        process.start()
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
    assert len(list(tmp_path.glob(".*.staging-*"))) == 1  # each has removed what the one before it left

    with staging_folder(tmp_path / "voice"):
        assert len(list(tmp_path.iterdir())) == 1

    assert not list(tmp_path.iterdir())


def fill_and_die(target: Path) -> None:
    with staging_folder(target) as staged:
        write(staged, graph="half")
        os.kill(os.getpid(), signal.SIGKILL)


def test_what_another_export_is_filling_is_left_to_it(tmp_path: Path) -> None:
    with staging_folder(tmp_path / "voice") as first:
        write(first, graph="half")
        with staging_folder(tmp_path / "voice") as second:
            assert first != second
        with staging_folder(tmp_path / "another"):
            pass

        assert contents(first) == {"graph": "half"}


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU])
def test_a_signal_that_ends_an_export_leaves_nothing(tmp_path: Path, ending: signal.Signals) -> None:
    def work() -> None:
        with staging_folder(tmp_path / "voice") as staged:
            write(staged, graph="half")
            os.kill(os.getpid(), ending)

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join(60)

    assert process.exitcode == 128 + ending
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "plan",
    ['{"replaced": [], "new": ["../mine"]}', '{"replaced": ["../../mine"], "new": []}', '{"new": [5], "replaced": []}',
     "[]", '{"replaced": 5, "new": []}', "[" * 100_000],
    ids=["removes", "moves", "number", "list", "no names", "deep"],
)  # fmt: skip
def test_a_made_up_plan_moves_and_removes_nothing(plan: str, tmp_path: Path) -> None:
    write(tmp_path, mine="mine")
    write(tmp_path / "exports" / ".voice.previous-x", **{staging.PLAN: plan})
    write(tmp_path / "exports" / ".voice.previous-x" / staging.OLD, graph="theirs")
    (tmp_path / "exports" / "mine").write_text("mine")

    with staging_folder(tmp_path / "exports" / "voice"):
        pass

    assert (tmp_path / "mine").read_text() == (tmp_path / "exports" / "mine").read_text() == "mine"


def test_files_are_not_brought_back_out_of_a_folder_that_is_a_link(tmp_path: Path) -> None:
    write(tmp_path / "private", letter="mine")
    left = tmp_path / "exports" / ".voice.previous-x"
    write(left, **{staging.PLAN: '{"replaced": ["letter"], "new": []}'})
    (left / staging.OLD).symlink_to(tmp_path / "private")

    with staging_folder(tmp_path / "exports" / "voice"):
        pass

    assert contents(tmp_path / "private") == {"letter": "mine"}
