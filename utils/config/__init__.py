"""Typed configuration values and the Hydra shell around every script."""

import errno
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from utils.config.environment import (
    RUN_SUFFIX,
    Environment,
    key_of,
    read_environment,
    single_runs,
    sweep_suffix,
    swept_keys,
)
from utils.errors import ConfigError, DataError, StoppedBySignalError, WorkbenchError

CONFIG_FOLDER = Path(__file__).resolve().parents[2] / "configs"
CONFIG_NAMES = ("preprocess", "train", "export", "test_model")
SCRIPTS = {"export": "export_onnx"}  # configuration name -> script, where they differ
ACTIONS = ("--run", "-r", "--multirun", "-m", "--cfg", "-c", "--info", "-i")  # of Hydra, one at a time
FLAGS_WITH_VALUE = (  # of Hydra
    "--cfg", "-c", "--package", "-p", "--info", "-i", "--config-path", "-cp", "--config-name", "-cn",
    "--config-dir", "-cd", "--experimental-rerun",
)  # fmt: skip
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class AudioConfig:
    """Rate and analysis of the voice's audio; the only owner of these numbers.

    Attributes:
        sample_rate: samples per second of the voice; a multiple of 100.
        hop_length: samples per frame; always sample_rate / 100.
        n_fft: samples of the analysis and synthesis window.
        n_mels: bands of the mel spectrogram in plots, loss and validation.
        f_min: lowest mel frequency in Hz.
        f_max: highest mel frequency in Hz.
    """

    sample_rate: int
    hop_length: int
    n_fft: int
    n_mels: int
    f_min: float
    f_max: float

    def __post_init__(self) -> None:
        if self.sample_rate < 8000 or self.sample_rate % 100:
            raise ConfigError(f"audio.sample_rate={self.sample_rate} must be a multiple of 100, at least 8000")
        if self.hop_length * 100 != self.sample_rate:
            raise ConfigError(
                f"audio.hop_length={self.hop_length} must be audio.sample_rate/100 = {self.sample_rate // 100} "
                "(the frame rate is 100 per second everywhere)"
            )
        if self.n_fft < 2 * self.hop_length or self.n_fft % 2:
            least = 2 * self.hop_length
            raise ConfigError(f"audio.n_fft={self.n_fft} must be even and at least 2 x hop_length = {least}")
        if not 0 <= self.f_min < self.f_max <= self.sample_rate / 2:
            raise ConfigError(
                f"audio.f_min={self.f_min} and audio.f_max={self.f_max} must satisfy "
                f"0 <= f_min < f_max <= {self.sample_rate / 2}"
            )
        if self.n_mels < 1:
            raise ConfigError(f"audio.n_mels={self.n_mels} must be at least 1")

    def frames_for(self, samples: int) -> int:
        """Return how many frames cover this many samples (the last one may be padded)."""
        return -(-samples // self.hop_length)


def audio_config(config: DictConfig | dict[str, Any]) -> AudioConfig:
    """Build the typed audio section from a configuration node or plain dictionary."""
    values = to_plain(config) if isinstance(config, DictConfig) else dict(config)
    try:
        return AudioConfig(**values)
    except TypeError as error:
        raise ConfigError(f"audio: {error}") from error


def to_plain(config: DictConfig) -> dict[str, Any]:
    """Return the fully resolved configuration as plain dictionaries and lists."""
    plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=False)
    if not isinstance(plain, dict):
        raise ConfigError(f"expected a mapping at the top of the configuration, got {type(plain).__name__}")
    return {str(key): value for key, value in plain.items()}


def given_keys() -> frozenset[str]:
    """Return the keys that command line and environment set, inside a script's task; none outside of one."""
    from hydra.core.hydra_config import HydraConfig

    overrides = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    return frozenset(key_of(item) for item in overrides)


def require(config: DictConfig, key: str, hint: str) -> Any:
    """Return a value that the user has to give.

    Args:
        config: the script's configuration.
        key: dotted key, for example "dataset.source".
        hint: the command to type, shown on the second line of the error.
    Raises:
        ConfigError: if the value is missing or empty.
    """
    value = OmegaConf.select(config, key, throw_on_missing=False)
    if value is None or value == "":
        raise ConfigError(f"{key} is missing.\nType: {hint}")
    return value


MAX_SEED = 2**32 - 1  # of numpy's generators


def check_range(key: str, value: float, low: float, high: float = float("inf")) -> None:
    """Raise ConfigError naming the key unless the value is a number and low <= value <= high."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{key}={value} must be a number")
    if not low <= value <= high:
        allowed = f"at least {low:g}" if high == float("inf") else f"between {low:g} and {high:g}"
        raise ConfigError(f"{key}={value:g} is out of range; allowed: {allowed}")


def instantiate(node: DictConfig, key: str, **values: Any) -> Any:
    """Build the object that a configuration node names by `_target_`, with further arguments from the program.

    Raises:
        ConfigError: one line naming the key, if the class refuses an argument.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate as hydra_instantiate

    try:
        return hydra_instantiate(node, **values)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, WorkbenchError):
            raise cause from error
        raise ConfigError(f"{key}: {_one_line(error)}") from error


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
                return _with_lines_for_files(task, config)
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
        _exit_with(ConfigError(_explain(error, config_name)))


def _with_lines_for_files(task: Callable[[DictConfig], Any], config: DictConfig) -> Any:
    """Run a task; what the system says about a file or a full disk becomes a DataError of one line."""
    try:
        return task(config)
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


def compose(config_name: str, overrides: list[str], *, with_hydra: bool = False) -> DictConfig:
    """Compose a configuration outside a script, for tests and tools.

    Args:
        config_name: root configuration.
        overrides: as on the command line.
        with_hydra: keep the "hydra" section.
    Raises:
        ConfigError: if an override names an unknown key or option or has a value of the wrong kind.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException

    for item in overrides:
        if item.partition("=")[2] == "null" and (CONFIG_FOLDER / key_of(item)).is_dir():
            options = ", ".join(sorted(path.stem for path in (CONFIG_FOLDER / key_of(item)).glob("*.yaml")))
            raise ConfigError(f"{item} is no option; allowed: {options}")
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(config_dir=str(CONFIG_FOLDER), version_base="1.3"):
            return hydra_compose(config_name=config_name, overrides=overrides, return_hydra_config=with_hydra)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_explain(error, config_name)) from error


def _checked_arguments(config_name: str, arguments: list[str], spell: Callable[[list[str]], list[str]]) -> list[str]:
    """Return the command line with what the environment sets; a typo ends the script with one line.

    Composes once before Hydra does, which would make a report of it.
    """
    arguments = spell(arguments)
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
            renamed={"audio": "audio.path"} if config_name == "test_model" else {},
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
    _tell_environment(environment, config_name)
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


def _tell_environment(environment: Environment, config_name: str) -> None:
    """Say once what the environment does and does not set."""
    if os.environ.get("LOCAL_RANK", "0") != "0" or os.environ.get("SLURM_PROCID", "0") != "0":
        return
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


def _one_line(error: Exception) -> str:
    """Join the lines of Hydra's report without its bookkeeping."""
    lines = [line.strip() for line in str(error).splitlines()]
    return " ".join(line for line in lines if line and not line.startswith("full_key"))


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), text)


def _explain(error: Exception, config_name: str) -> str:
    from hydra.errors import OverrideParseException

    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, OverrideParseException):
        return f"{error.override} cannot be read as key=value: {lines[0]}"
    if error.__cause__ is not None:
        lines += [line.strip() for line in str(error.__cause__).splitlines() if line.strip()]
    dropped = ("full_key", "object_type", "reference_type", "Key '", "To append")
    keep = [line for line in lines if not line.startswith(dropped)]
    options = [line for line in lines if line.startswith("Key '")]
    text = " ".join(keep[:1] + options[:1]) or _first_line(str(error))
    if "Available options" in " ".join(lines):
        found = " ".join(lines)
        text = found[: found.find("Config search path")] if "Config search path" in found else found
    return f"{text.strip()} (python {SCRIPTS.get(config_name, config_name)}.py --help lists the groups and keys)"
