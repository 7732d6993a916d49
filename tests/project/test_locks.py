"""Locks between processes."""

import errno
from pathlib import Path
from typing import Any

import portalocker.portalocker
import pytest

from utils.locks import try_lock, wait_for_lock


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "x.lock"
    path.touch()
    return path


def test_second_lock_of_a_file_is_refused_until_the_first_is_closed(file: Path) -> None:
    with file.open("a") as second:
        with file.open("a") as first:
            assert try_lock(first)
            assert not try_lock(second)
        assert try_lock(second)


@pytest.mark.parametrize("shared", [False, True])
def test_shared_lock_lets_only_shared_ones_in(shared: bool, file: Path) -> None:
    with file.open("a") as first, file.open("a") as second:
        assert try_lock(first, shared=True)
        assert try_lock(second, shared=shared) is shared


def test_waiting_for_a_free_lock_takes_it(file: Path) -> None:
    with file.open("a") as first, file.open("a") as second:
        wait_for_lock(first)

        assert not try_lock(second)


@pytest.mark.parametrize("lock", [try_lock, wait_for_lock])
def test_file_system_without_locks_raises_what_the_system_says(
    lock: Any, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(handle: int, kind: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(portalocker.portalocker, "LOCKER", none)
    with file.open("a") as stream, pytest.raises(OSError, match="No locks available") as caught:
        lock(stream)

    assert caught.value.errno == errno.ENOLCK
