"""Errors that a user can repair: the scripts print them as one line and exit with code 2."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

# EX_TEMPFAIL of sysexits.h: a signal stopped the run, which saved itself; start it again to continue
PREEMPTED_EXIT_CODE = 75
ROOM = "free some space, or write to another disk"
DISK = "check the disk or the network drive, or use another"
REMEDIES = {  # what the system says without a file's name, too
    errno.ENOSPC: ROOM,
    errno.EDQUOT: "free some of your quota, or write to another disk",
    errno.EFBIG: "raise the limit (ulimit -f), or write to another disk",
    errno.EIO: DISK,
    errno.EROFS: "write to another disk",
    **{getattr(errno, name): DISK for name in ("ESTALE", "EREMOTEIO", "ENODEV", "ENXIO") if hasattr(errno, name)},
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "close other programs: this machine has no more open files to give",
}


class WorkbenchError(Exception):
    """Base of every error that is the input's fault, not the program's.

    The message says what is wrong, the value, where it stands and what to do.

    Args:
        message: that line.
        hint: a command to type, which is shown in a line of its own.

    Attributes:
        exit_code: with which a script ends.
    """

    exit_code = 2

    def __init__(self, message: str = "", *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        return "\n".join(self.lines)

    @property
    def lines(self) -> list[str]:
        """The message and, where there is one, the line of the hint."""
        return [super().__str__(), *([f"Type: {self.hint}"] if self.hint else [])]


class ConfigError(WorkbenchError):
    """A configuration value is missing, unknown or contradicts another."""


class DataError(WorkbenchError):
    """A recording, folder or prepared dataset cannot be used."""


class ExportError(WorkbenchError):
    """A voice could not be exported or did not pass its verification."""


class FormatError(WorkbenchError):
    """A file is damaged, of another version or not of the expected kind."""


class TrainingError(WorkbenchError):
    """A training cannot go on although its input was accepted, for example because it diverged."""

    exit_code = 1


class StoppedBySignalError(WorkbenchError):
    """A training was asked to end, saved its state and can be continued; schedulers read 75 as "try again"."""

    exit_code = PREEMPTED_EXIT_CODE


@contextmanager
def one_line_for_files() -> Iterator[None]:
    """Make what the system says about a file or a disk a DataError of one line.

    Raises:
        DataError: names the file where the system does, and what to do.
        OSError: what is about neither, such as a connection.
    """
    try:
        yield
    except OSError as error:
        remedy = REMEDIES.get(error.errno or 0)
        if remedy is None and error.filename is None:
            raise
        files = " -> ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
        words = remedy or "make it accessible, or give another place"
        raise DataError(f"{files or 'writing a file'}: {error.strerror}; {words}") from error
