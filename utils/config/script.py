"""The Hydra shell around every script: a validated job in, one line and an exit code for what is wrong."""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

from omegaconf.errors import OmegaConfBaseException

from utils.config.command_line import checked_arguments, refuse_words
from utils.config.composing import Composed, given_keys, register_defaults
from utils.config.environment import RUN_SUFFIX, key_of, sweep_suffix
from utils.config.fields import defaults_of
from utils.config.flags import overrides_of
from utils.config.help import help_text
from utils.config.job import Job
from utils.config.places import CONFIG_FOLDER
from utils.config.refusals import explain_override
from utils.console import emit, protect_console, tell_error
from utils.errors import ConfigError, StoppedBySignalError, WorkbenchError, one_line_for_files
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

    protect_console()
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
                tell_error(f"error in run {os.environ[RUN_SUFFIX]}", _lines(error))
                raise

    register_defaults(job_type.config_name, defaults_of(job_type))
    try:
        with one_line_for_files():  # Hydra itself writes down what is swept
            hydra.main(version_base="1.3", config_path=str(CONFIG_FOLDER), config_name=job_type.config_name)(guarded)()
    except (WorkbenchError, OmegaConfBaseException) as error:
        _exit_with(error)
    except HydraException as error:
        _exit_with(ConfigError(explain_override(error)))


def _is_answered(job_type: type[Job], arguments: Sequence[str]) -> bool:
    """Answer --version and --help; return whether one of them was asked."""
    if "--version" in arguments:
        emit(f"voclo-trainer {VERSION}")
        return True
    if "--help" in arguments or "-h" in arguments:
        refuse_words(job_type, arguments)
        emit(help_text(job_type, overrides_of(job_type.spell(list(arguments)))).removesuffix("\n"))
        return True
    return False


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


def _lines(error: Exception) -> list[str]:
    if isinstance(error, WorkbenchError):
        return error.lines
    return [explain_override(error) if isinstance(error, OmegaConfBaseException) else str(error)]


def _exit_with(error: Exception) -> NoReturn:
    kind = "stopped" if isinstance(error, StoppedBySignalError) else "error"
    if isinstance(error, StoppedBySignalError):  # a terminal that closes, or a limit of time, tells so again and again
        for name in ("SIGHUP", "SIGXCPU"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.SIG_IGN)
    tell_error(kind, _lines(error))
    raise SystemExit(getattr(error, "exit_code", 2))
