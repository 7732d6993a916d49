"""A folder that is filled aside and moved into place only when everything in it is good."""

import contextlib
import json
import logging
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from types import FrameType
from typing import IO

from utils.errors import ConfigError
from utils.files import check_new_folder, is_below, sync_to_disk
from utils.locks import try_lock, wait_for_lock

STALE_SECONDS = 24 * 3600.0
ENDING = ("SIGTERM", "SIGHUP", "SIGXCPU")  # signals that end a process which does not listen to them
STAGING, PREVIOUS = "staging", "previous"
PLAN, OLD = "plan.json", "files"  # inside the folder of what is being replaced
LOCK, FILES = "lock", "files"  # inside the folder that is being filled
log = logging.getLogger(__name__)


@contextlib.contextmanager
def staging_folder(target: Path, names: Collection[str] = ()) -> Iterator[Path]:
    """Give an empty folder beside the target (same disk); it is gone afterwards, whatever happened.

    What killed processes left there is removed too, whatever the voice; a replacement of files in whose middle one of
    this voice was killed is undone.

    Args:
        target: <export.root>/<name>, which will be filled.
        names: files that it will get, as far as they are known.
    Raises:
        ConfigError: if nothing can be written there, or a folder stands where a file is to go.
    """
    check_new_folder(target.parent, "export.root")
    check_new_folder(target, "name")
    _refuse_folders(target, names)
    target.parent.mkdir(parents=True, exist_ok=True)
    _undo_interrupted(target)
    _remove_abandoned(target)
    folder, lock = _locked_folder(target)
    with _termination_raises():
        try:
            yield folder / FILES
        finally:
            shutil.rmtree(folder / FILES, ignore_errors=True)
            lock.close()
            shutil.rmtree(folder, ignore_errors=True)


def _locked_folder(target: Path) -> tuple[Path, IO[str]]:
    """Make a folder aside and lock it, so that others see that it is in use as long as this process lives."""
    while True:
        folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=_prefix(target, STAGING)))
        lock = (folder / LOCK).open("w", encoding="utf-8")
        try:
            is_ours = try_lock(lock)
        except OSError:  # a file system without locks
            is_ours = True
        if is_ours and (folder / LOCK).is_file():
            (folder / FILES).mkdir()
            return folder, lock
        lock.close()  # another export took it for abandoned before it was locked


def _remove_abandoned(target: Path) -> None:
    """Remove what exports that were killed had filled, also those to other voices of the same place."""
    own = _prefix(target, STAGING)
    for left in sorted(target.parent.glob(f".*.{STAGING}-*")):
        lock = left / LOCK
        if lock.is_file():
            with lock.open("r+", encoding="utf-8") as stream:
                if _is_held(stream):
                    continue
                shutil.rmtree(left, ignore_errors=True)  # while it is locked: its process may only just begin
            shutil.rmtree(left, ignore_errors=True)  # Windows removes no open file
        elif left.name.startswith(own) and _is_stale(left):  # of a version that made no lock
            shutil.rmtree(left, ignore_errors=True)


def move_into_place(staged: Path, target: Path, is_obsolete: Callable[[Path], bool]) -> list[Path]:
    """Replace the files of a folder by the staged ones; on an error or SIGTERM the folder is as it was before.

    The old files are set aside until the disk has the new ones, together with a plan of what is moved; by it the next
    staging_folder undoes what a killed process has begun.

    Args:
        staged: folder on the same disk as the target, without sub-folders.
        target: folder to fill; made when missing. Its other files stay.
        is_obsolete: says of a file of the target that it belongs to the export that is replaced.
    Returns:
        The new files in the target.
    Raises:
        ConfigError: if a folder stands where a file is to go.
    """
    new = sorted(path.name for path in staged.iterdir())
    _refuse_folders(target, new)
    for name in new:
        sync_to_disk(staged / name)
    target.mkdir(parents=True, exist_ok=True)
    replaced = [
        path.name for path in sorted(target.iterdir()) if path.name in new or (path.is_file() and is_obsolete(path))
    ]
    backup = Path(tempfile.mkdtemp(dir=target.parent, prefix=_prefix(target, PREVIOUS)))
    with _termination_raises():
        try:
            with _planned(backup, replaced, new) as plan:
                for name in replaced:
                    _move(target / name, backup / OLD / name)
                for name in new:
                    _move(staged / name, target / name)
                sync_to_disk(backup / OLD)
                sync_to_disk(target)
                _empty(plan)
        except BaseException:
            _undo(backup, target, replaced, new)
            shutil.rmtree(backup, ignore_errors=True)
            raise
    shutil.rmtree(backup, ignore_errors=True)
    dropped = [name for name in replaced if name not in new]
    if dropped:
        log.info("removed files of the earlier export: %s", ", ".join(dropped))
    return [target / name for name in new]


def _refuse_folders(target: Path, names: Collection[str]) -> None:
    folder = next((target / name for name in names if (target / name).is_dir()), None)
    if folder is not None:
        raise ConfigError(f"{folder} is a folder where the export puts a file; move it away or choose another name=")


def _move(source: Path, destination: Path) -> None:
    source.replace(destination)


@contextlib.contextmanager
def _planned(backup: Path, replaced: list[str], new: list[str]) -> Iterator[IO[str]]:
    """Write down what will be moved, and give the plan, locked as long as this process is at it."""
    (backup / OLD).mkdir()
    with (backup / PLAN).open("w", encoding="utf-8") as stream:
        with contextlib.suppress(OSError):  # a file system without locks
            wait_for_lock(stream)
        json.dump({"replaced": replaced, "new": new}, stream)
        stream.flush()
        os.fsync(stream.fileno())
        sync_to_disk(backup)
        sync_to_disk(backup.parent)
        yield stream


def _empty(plan: IO[str]) -> None:
    """Leave nothing in a plan that anybody could undo; a file can be emptied while it is open, also on Windows."""
    plan.truncate(0)
    plan.flush()
    os.fsync(plan.fileno())


def _undo_interrupted(target: Path) -> None:
    """Undo the replacements of processes that ended in the middle of one."""
    for left in _siblings(target, PREVIOUS):
        if (left / PLAN).is_file():
            with (left / PLAN).open("r+", encoding="utf-8") as stream:
                if _is_held(stream):
                    continue
                _undo_plan(stream, left, target)
            shutil.rmtree(left, ignore_errors=True)
        elif any(path.is_file() for path in left.iterdir()):  # of a version that made no plan
            log.warning("an export ended while it replaced files of %s; move back what it left in %s", target, left)
        elif _is_stale(left):
            shutil.rmtree(left, ignore_errors=True)


def _is_held(stream: IO[str]) -> bool:
    """Say whether the process that made a plan is still at it; takes its place otherwise."""
    try:
        return not try_lock(stream)
    except OSError:  # a file system without locks
        return not _is_stale(Path(stream.name))


def _undo_plan(stream: IO[str], backup: Path, target: Path) -> None:
    """Bring a folder back to what it was before the plan in a file that this process has locked."""
    try:
        plan: dict[str, list[str]] = json.loads(stream.read())
        names = [*plan["replaced"], *plan["new"]]
    except (ValueError, LookupError, TypeError, RecursionError):
        return  # not written to its end, so that nothing was moved, or emptied, when all was
    are_plain = all(isinstance(name, str) and is_below(name) and Path(name).name == name for name in names)
    if not are_plain or (backup / OLD).is_symlink():
        log.warning("%s is no plan of an export: it names other places; nothing was moved", stream.name)
        return
    count = _undo(backup, target, plan["replaced"], plan["new"])
    _empty(stream)
    log.warning("an export ended while it replaced files of %s: %d are back there", target, count)


def _undo(backup: Path, target: Path, replaced: list[str], new: list[str]) -> int:
    """Bring a folder back to what it was before; returns the number of files that had been moved away."""
    target.mkdir(parents=True, exist_ok=True)
    for name in set(new) - set(replaced):
        (target / name).unlink(missing_ok=True)
    moved = [name for name in replaced if os.path.lexists(backup / OLD / name)]
    for name in moved:
        _move(backup / OLD / name, target / name)
    sync_to_disk(target)
    return len(moved)


@contextlib.contextmanager
def _termination_raises() -> Iterator[None]:
    """Let a signal end the block by SystemExit, unless somebody else handles it; only the main thread can."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    ours = [getattr(signal, name) for name in ENDING if hasattr(signal, name)]
    free = [number for number in ours if signal.getsignal(number) == signal.SIG_DFL]
    if threading.current_thread() is not threading.main_thread():
        free = []
    for number in free:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in free:
            signal.signal(number, signal.SIG_DFL)


def _prefix(target: Path, kind: str) -> str:
    return f".{target.name}.{kind}-"


def _siblings(target: Path, kind: str) -> list[Path]:
    """Return what exports to a folder left beside it."""
    return sorted(path for path in target.parent.iterdir() if path.name.startswith(_prefix(target, kind)))


def _is_stale(path: Path) -> bool:
    return time.time() - path.stat().st_mtime > STALE_SECONDS
