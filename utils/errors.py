"""Errors that a user can repair: the scripts print them as one line and exit with code 2."""

# EX_TEMPFAIL of sysexits.h: a signal stopped the run, which saved itself; start it again to continue
PREEMPTED_EXIT_CODE = 75


class WorkbenchError(Exception):
    """Base of every error that is the input's fault, not the program's.

    The message says what is wrong, the value, where it stands and what to do.

    Attributes:
        exit_code: with which a script ends.
    """

    exit_code = 2


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
