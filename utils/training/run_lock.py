"""One training at a time in the folder of a run."""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.util import register_after_fork
from pathlib import Path
from typing import IO

from utils.errors import ConfigError
from utils.files import remove_unfinished
from utils.locks import try_lock
from utils.training.devices import is_first_process

LOCK_FILE = ".lock"
TRIES = 100  # another process may remove its lock file between our opening and locking it
log = logging.getLogger(__name__)


@contextmanager
def lock_run(run: Path) -> Iterator[None]:
    """Lock the folder of a run against a second train.py; the lock ends with the process, however it ends.

    The first of all processes of a job locks for all of them. The lock file, and folders that were made for it alone,
    are removed at the end: a run that was refused leaves nothing behind. What a killed train.py has left unfinished is
    removed once the run is locked, and what killed programs of this one have left, at the end.

    Args:
        run: its folder.
    Raises:
        ConfigError: if another train.py has locked it.
    """
    if not is_first_process() or _node() != 0:
        yield
        return
    made = [folder for folder in (run, *run.parents) if not folder.exists()]
    stream = _lock(run)
    # a loader that outlives this process must not keep the lock
    register_after_fork(stream, lambda inherited: inherited.close())
    remove_unfinished(run)
    try:
        yield
    finally:
        with suppress(OSError):
            remove_unfinished(run)
        with stream:
            if os.name == "nt":  # which removes no open file, of us or of a process that waits for the lock
                stream.close()
            # elsewhere still locked: a process that has opened the file meanwhile finds another one under its name
            with suppress(PermissionError):
                (run / LOCK_FILE).unlink(missing_ok=True)
            with suppress(OSError):  # not empty
                for folder in made:
                    folder.rmdir()


def _node() -> int:
    """Return the number of this machine; Lightning starts the processes of each before they have connected."""
    found = os.environ.get("NODE_RANK", os.environ.get("GROUP_RANK", "0"))
    return int(found) if found.isdigit() else 0


def _lock(run: Path) -> IO[str]:
    path = run / LOCK_FILE
    for _ in range(TRIES):
        run.mkdir(parents=True, exist_ok=True)
        try:
            stream = path.open("a", encoding="utf-8")
        except FileNotFoundError:
            continue
        try:
            if not try_lock(stream):
                stream.close()
                break
        except OSError as error:
            words = "nothing keeps a second train.py away from this run"
            log.warning("%s cannot be locked on this file system (%s): %s", path, error.strerror, words)
            return stream
        if _is_at(path, stream):
            stream.truncate(0)
            stream.write(f"process {os.getpid()} on {socket.gethostname()}")
            stream.flush()
            return stream
        stream.close()
    raise ConfigError(
        f"{run} is being trained by another train.py ({_owner(path)}); wait for it, stop it, or type "
        "run.name=<new name>"
    )


def _is_at(path: Path, stream: IO[str]) -> bool:
    """Return whether an open file still is the one of this name."""
    try:
        return os.path.samestat(path.stat(), os.fstat(stream.fileno()))
    except FileNotFoundError:
        return False


def _owner(path: Path) -> str:
    try:
        return path.read_text("utf-8") or "it does not say which"
    except PermissionError:  # Windows lets nobody read what is locked
        return "this system does not say which"
    except OSError:
        return "it has just ended"
