"""Locks between processes on an open file, on every system; a lock ends with its process, however that ends."""

from typing import IO

import portalocker
from portalocker.exceptions import AlreadyLocked, LockException


def try_lock(stream: IO[str], *, shared: bool = False) -> bool:
    """Lock an open file unless somebody else has it; closing the file gives the lock back.

    Args:
        stream: the file; what it contains does not matter. Windows keeps others from reading it meanwhile.
        shared: let others in that ask for a shared lock too.
    Returns:
        Whether the lock is ours.
    Raises:
        OSError: if the file system has no locks.
    """
    kind = portalocker.LockFlags.SHARED if shared else portalocker.LockFlags.EXCLUSIVE
    try:
        portalocker.lock(stream, kind | portalocker.LockFlags.NON_BLOCKING)
    except AlreadyLocked:
        return False
    except LockException as error:
        raise _as_os_error(error) from error
    return True


def wait_for_lock(stream: IO[str]) -> None:
    """Lock an open file, which somebody else has for moments at most.

    Raises:
        OSError: if the file system has no locks, or (on Windows) somebody has it for longer.
    """
    try:
        portalocker.lock(stream, portalocker.LockFlags.EXCLUSIVE)
    except LockException as error:
        raise _as_os_error(error) from error


def _as_os_error(error: LockException) -> OSError:
    cause = error.__cause__
    return cause if isinstance(cause, OSError) else OSError(error.strerror or str(error))
