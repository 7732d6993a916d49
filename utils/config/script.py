"""The Hydra shell around every script: a validated job in, one line and an exit code for what is wrong."""

import errno
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

from omegaconf.errors import OmegaConfBaseException

from utils.config.command_line import checked_arguments, overrides_of
from utils.config.composing import CONFIG_FOLDER, Composed, explain_composition, given_keys, register_defaults
from utils.config.environment import RUN_SUFFIX, key_of, sweep_suffix
from utils.config.fields import defaults_of
from utils.config.help import help_text
from utils.config.job import Job
from utils.errors import ConfigError, DataError, StoppedBySignalError, WorkbenchError
from utils.version import VERSION

SomeJob = TypeVar("SomeJob", bound=Job)


def run_script(job_type: type[SomeJob], task: Callable[[SomeJob], Any]) -> None:
    """Run a script: compose its configuration with environment and command line, validate it and call the task.

    Errors in the configuration, every WorkbenchError and what the system says about a file or a full disk become one
    line on standard error and the error's exit code, which is 2 for what the user can repair; anything else keeps its
    traceback. In a sweep the other runs still go on.

    Args:
        job_type: the typed configuration of the script.
        task: gets the job; what it returns is what a sweep minimises.
    """
    import hydra
    from hydra.errors import HydraException

    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # our own handler shortens what the user can repair
    arguments = sys.argv[1:]
    try:
        if _is_answered(job_type, arguments):
            return
        if "--hydra-help" not in arguments:
            sys.argv[1:] = checked_arguments(job_type, arguments)
    except ConfigError as error:
        _exit_with(error)

    def guarded(config: Composed) -> Any:
        with _one_of_a_sweep() as is_sweep:
            try:
                with one_line_for_files():
                    return task(job_type.from_config(config, given_keys()))
            except (WorkbenchError, OmegaConfBaseException) as error:
                if not is_sweep or isinstance(error, StoppedBySignalError):
                    _exit_with(error)
                sys.stderr.write(f"error in run {os.environ[RUN_SUFFIX]}: {error}\n")
                raise

    register_defaults(job_type.config_name, defaults_of(job_type))
    try:
        hydra.main(version_base="1.3", config_path=str(CONFIG_FOLDER), config_name=job_type.config_name)(guarded)()
    except (WorkbenchError, OmegaConfBaseException) as error:
        _exit_with(error)
    except HydraException as error:
        _exit_with(ConfigError(explain_composition(error, job_type.config_name)))


def _is_answered(job_type: type[Job], arguments: Sequence[str]) -> bool:
    """Answer --version and --help; return whether one of them was asked."""
    if "--version" in arguments:
        sys.stdout.write(f"voclo-trainer {VERSION}\n")
        return True
    if "--help" in arguments or "-h" in arguments:
        sys.stdout.write(help_text(job_type, overrides_of(job_type.spell(list(arguments)))))
        return True
    return False


@contextmanager
def one_line_for_files() -> Iterator[None]:
    """Make what the system says about a file or a full disk a DataError of one line."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        if not full and error.filename is None:
            raise
        files = " -> ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
        remedy = "free some space, or write to another disk" if full else "make it accessible, or give another place"
        raise DataError(f"{files or 'writing a file'}: {error.strerror}; {remedy}") from error


@contextmanager
def _one_of_a_sweep() -> Iterator[bool]:
    """Give a run of a sweep its name, and a command line of its own to the processes that it starts."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    if HydraConfig.get().mode != RunMode.MULTIRUN:
        yield False
        return
    job = HydraConfig.get().job
    fixed = set(job.config.override_dirname.exclude_keys)
    overrides = list(HydraConfig.get().overrides.task)
    before = list(sys.argv)
    os.environ[RUN_SUFFIX] = sweep_suffix(job.num, [item for item in overrides if key_of(item) not in fixed])
    sys.argv[1:] = overrides
    try:
        yield True
    finally:
        sys.argv[:] = before
        del os.environ[RUN_SUFFIX]


def _exit_with(error: Exception) -> NoReturn:
    kind = "stopped" if isinstance(error, StoppedBySignalError) else "error"
    sys.stderr.write(f"{kind}: {error}\n")
    raise SystemExit(getattr(error, "exit_code", 2))
