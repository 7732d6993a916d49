"""The Hydra shell around every script: arguments and environment in, one line and an exit code for what is wrong."""

import errno
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NoReturn

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from utils.config.composing import CONFIG_FOLDER, CONFIG_NAMES, SCRIPTS, compose, explain_composition
from utils.config.environment import (
    RUN_SUFFIX,
    Environment,
    key_of,
    read_environment,
    single_runs,
    sweep_suffix,
    swept_keys,
)
from utils.config.renamed import KEYS, with_current_keys
from utils.errors import ConfigError, DataError, StoppedBySignalError, WorkbenchError

ACTIONS = ("--run", "-r", "--multirun", "-m", "--cfg", "-c", "--info", "-i")  # of Hydra, one at a time
FLAGS_WITH_VALUE = (  # of Hydra
    "--cfg", "-c", "--package", "-p", "--info", "-i", "--config-path", "-cp", "--config-name", "-cn",
    "--config-dir", "-cd", "--experimental-rerun",
)  # fmt: skip


def run_script(
    config_name: str, task: Callable[[DictConfig], Any], *, spell: Callable[[list[str]], list[str]] | None = None
) -> None:
    """Run a script: compose configs/<config_name>.yaml with environment and command line and call the task.

    Errors in the configuration, every WorkbenchError and what the system says about a file or a full disk become one
    line on standard error and the error's exit code, which is 2 for what the user can repair; anything else keeps its
    traceback. In a sweep the other runs still go on.

    Args:
        config_name: root configuration.
        task: gets the configuration; what it returns is what a sweep minimises.
        spell: puts the arguments into Hydra's grammar, where users type them otherwise.
    """
    import hydra
    from hydra.errors import HydraException

    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # our own handler shortens what the user can repair
    spell = spell or list
    sys.argv[1:] = _checked_arguments(config_name, sys.argv[1:], spell)

    def guarded(config: DictConfig) -> Any:
        with _one_of_a_sweep() as is_sweep:
            try:
                with one_line_for_files():
                    return task(config)
            except (WorkbenchError, OmegaConfBaseException) as error:
                if not is_sweep or isinstance(error, StoppedBySignalError):
                    _exit_with(error)
                sys.stderr.write(f"error in run {os.environ[RUN_SUFFIX]}: {error}\n")
                raise

    try:
        hydra.main(version_base="1.3", config_path=str(CONFIG_FOLDER), config_name=config_name)(guarded)()
    except (WorkbenchError, OmegaConfBaseException) as error:
        _exit_with(error)
    except HydraException as error:
        _exit_with(ConfigError(explain_composition(error, config_name)))


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


def _checked_arguments(config_name: str, arguments: list[str], spell: Callable[[list[str]], list[str]]) -> list[str]:
    """Return the command line with what the environment sets; a typo ends the script with one line.

    Composes once before Hydra does, which would make a report of it.
    """
    arguments, notes = with_current_keys(spell(arguments))
    if any(argument in ("--help", "-h", "--hydra-help") for argument in arguments):
        return arguments
    actions = [argument for argument in arguments if argument in ACTIONS]
    if len(actions) > 1:
        _exit_with(ConfigError(f"{' and '.join(actions)} exclude each other; give one of them"))
    overrides = _overrides_of(arguments)
    environment = Environment()
    try:
        environment = read_environment(
            os.environ,
            overrides,
            config_name=config_name,
            config_names=CONFIG_NAMES,
            groups=CONFIG_FOLDER,
            compose=partial(compose, with_hydra=True),
            renamed=KEYS | ({"audio": "audio.path"} if config_name == "test_model" else {}),
        )
        from_environment = spell(list(environment.overrides.values()))
        given, overrides = overrides, [*from_environment, *overrides]
        is_sweep = any(argument in ("--multirun", "-m") for argument in arguments)
        for run in single_runs(overrides) if is_sweep else [overrides]:
            _check_overrides(config_name, run)
        # which keys vary is known here only: a launcher's job sees all of them alike
        kept = sorted({key_of(item) for item in overrides} - swept_keys(overrides)) if is_sweep else []
    except ConfigError as error:
        _exit_with(environment.blame(error))
    _tell(notes, environment, config_name)
    fixed = [f"hydra.job.config.override_dirname.exclude_keys=[{','.join(kept)}]"] if kept else []
    # all overrides in one piece and behind -m: Hydra's parser refuses any other order
    flags = ["--multirun"] if is_sweep else []
    rest = [argument for argument in arguments if argument not in ("--multirun", "-m")]
    first = next((index for index, argument in enumerate(rest) if argument in given), len(rest))
    return [*flags, *rest[:first], *from_environment, *fixed, *rest[first:]]


def _overrides_of(arguments: list[str]) -> list[str]:
    """Return what is no flag of Hydra's and no value of one (`--cfg job`, `-p optim`)."""
    before = ["", *arguments]
    return [
        argument
        for flag, argument in zip(before, arguments, strict=False)
        if not argument.startswith("-") and not (flag in FLAGS_WITH_VALUE and "=" not in argument)
    ]


def _tell(notes: Sequence[str], environment: Environment, config_name: str) -> None:
    """Say once which keys have new names, and what the environment does and does not set."""
    if os.environ.get("LOCAL_RANK", "0") != "0" or os.environ.get("SLURM_PROCID", "0") != "0":
        return
    for note in [*notes, *environment.renamed]:
        sys.stderr.write(f"{note}\n")
    if environment.overrides:
        sys.stderr.write(f"from the environment: {', '.join(environment.overrides.values())}\n")
    if environment.foreign:
        script = SCRIPTS.get(config_name, config_name)
        sys.stderr.write(f"no keys of {script}.py, left alone: {', '.join(environment.foreign)}\n")


def _check_overrides(config_name: str, overrides: list[str]) -> None:
    config = compose(config_name, overrides)
    keys = [item.partition("=")[0] for item in overrides]
    values = [key for key in keys if key and ("." in key or key[0].islower())]
    groups = [item for item in overrides if (CONFIG_FOLDER / item.partition("=")[0]).is_dir()]
    _check_kinds(config, compose(config_name, groups), values)


def _check_kinds(config: DictConfig, defaults: DictConfig, keys: list[str]) -> None:
    """Refuse a text or a fraction where the default is a whole number, a text where it is a number or a switch."""
    for key in keys:
        default = OmegaConf.select(defaults, key, throw_on_missing=False)
        value = OmegaConf.select(config, key, throw_on_missing=False)
        kinds: dict[type, tuple[tuple[type, ...], str]] = {
            bool: ((bool,), "true or false"),
            int: ((int,), "a whole number"),
            float: ((int, float), "a number"),
        }
        if type(default) not in kinds or value is None:
            continue
        allowed, wording = kinds[type(default)]
        if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
            raise ConfigError(f"{key}={value} must be {wording}, for example {default}")


def _exit_with(error: Exception) -> NoReturn:
    kind = "stopped" if isinstance(error, StoppedBySignalError) else "error"
    sys.stderr.write(f"{kind}: {error}\n")
    raise SystemExit(getattr(error, "exit_code", 2))
