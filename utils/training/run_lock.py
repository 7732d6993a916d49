"""One training at a time in the folder of a run."""

import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.util import register_after_fork
from pathlib import Path
from typing import IO

from utils.errors import ConfigError
from utils.training.devices import is_first_process

LOCK_FILE = ".lock"
TRIES = 100  # to lock a file that the one who held it removes at that moment
log = logging.getLogger(__name__)


@contextmanager
def hold_run(run: Path) -> Iterator[None]:
    """Keep a second train.py away from a run; the lock ends with the process, however it ends.

    The first of all processes of a job holds it for the others. Lock and folders made for it alone go again at the end:
    a run that was refused leaves nothing behind.

    Args:
        run: its folder.
    Raises:
        ConfigError: if another train.py holds it.
    """
    if not is_first_process() or _node() != 0:
        yield
        return
    made = [folder for folder in (run, *run.parents) if not folder.exists()]
    stream = _lock(run)
    register_after_fork(stream, lambda held: held.close())  # a loader that outlives this must not hold it on
    try:
        yield
    finally:
        with stream:
            # still held: who has opened the file meanwhile sees that it is another one by now
            (run / LOCK_FILE).unlink(missing_ok=True)
            with suppress(OSError):  # not empty
                for folder in made:
                    folder.rmdir()


def _node() -> int:
    """Return the number of this machine where Lightning starts the processes of each and they have not met yet."""
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
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
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
        f"{run} is being trained by another train.py ({_holder(path)}); wait for it, stop it, or type "
        "run.name=<new name>"
    )


def _is_at(path: Path, stream: IO[str]) -> bool:
    """Return whether an open file still is the one of this name."""
    try:
        return os.path.samestat(path.stat(), os.fstat(stream.fileno()))
    except FileNotFoundError:
        return False


def _holder(path: Path) -> str:
    try:
        return path.read_text("utf-8") or "it does not say which"
    except OSError:
        return "it has just ended"
