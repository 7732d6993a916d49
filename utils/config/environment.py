"""What the command line and the environment say, before Hydra composes it: variables, sweeps, names of runs."""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from utils.config.renamed import KEYS
from utils.config.suggestions import closest
from utils.errors import ConfigError

PREFIX = "VOCLO_"  # VOCLO_TRAINER__STEPS=500 is trainer.steps=500
RUN_SUFFIX = "WORKBENCH_RUN_SUFFIX"  # of the run's folder in a sweep; inherited by the processes of one run
MOST_CHOICES = 64  # values of one sweep that are checked before the first run
LONGEST_SUFFIX = 80
QUOTES = "'\""
Compose = Callable[[str, list[str]], DictConfig]


@dataclass
class Environment:
    """What the environment sets.

    Attributes:
        overrides: variable -> override such as trainer.steps=500.
        foreign: variables that are keys of other scripts only.
        renamed: lines that say new names of keys.
    """

    overrides: dict[str, str] = field(default_factory=dict)
    foreign: list[str] = field(default_factory=list)
    renamed: list[str] = field(default_factory=list)

    def blame(self, error: ConfigError) -> ConfigError:
        """Name the variables whose key an error speaks of."""
        text = str(error)
        guilty = [name for name, item in self.overrides.items() if _mentions(text, item.partition("=")[0])]
        words = f"{error.lines[0]} (set by the environment: {', '.join(guilty)})"
        return ConfigError(words, hint=error.hint) if guilty else error


def _mentions(text: str, key: str) -> bool:
    return bool(re.search(rf"(?<![\w.]){re.escape(key)}(?![\w.])", text))


def read_environment(
    variables: Mapping[str, str],
    arguments: list[str],
    *,
    config_name: str,
    config_names: Iterable[str],
    groups: Path,
    compose: Compose,
    renamed: Mapping[str, str],
) -> Environment:
    """Turn variables such as VOCLO_TRAINER__STEPS=500 into overrides; what the command line sets itself is left out.

    Args:
        variables: the environment; an empty value counts as not set.
        arguments: the command line.
        config_name: root configuration of the script.
        config_names: root configurations of all scripts.
        groups: folder of the configuration groups.
        compose: makes a configuration, with its "hydra" section, of a root and overrides.
        renamed: key -> the key that is meant: of an earlier version, or one with the name of a group.
    Raises:
        ConfigError: if a variable names no key of any script.
    """
    found = Environment()
    given = {key_of(item) for item in arguments}
    wanted: dict[str, str] = {}
    for name in sorted(variables):
        if name.startswith(PREFIX) and variables[name]:
            parts = name.removeprefix(PREFIX).lower().split("__")
            typed = ".".join(parts)
            key = renamed.get(typed, typed)
            wanted[name] = "/".join(parts) if key == typed and groups.joinpath(*parts).is_dir() else key
            if typed in KEYS:
                found.renamed.append(f"{name}: {typed} is named {key} now, {_variable_of(key)}")
    if not wanted:
        return found
    chosen = [f"{key}={variables[name]}" for name, key in wanted.items() if key not in given and _is_group(groups, key)]
    own: dict[str, str] | None = None
    for name, key in wanted.items():
        own = _keys(compose, config_name, chosen, arguments) if own is None else own
        if key.lower() in own:
            if not {key, own[key.lower()]} & given:
                found.overrides[name] = f"{own[key.lower()]}={variables[name]}"
        elif any(key.lower() in _keys(compose, other, [], []) for other in config_names if other != config_name):
            found.foreign.append(name)
        else:
            close = closest(key, own.values())
            meant = f"; did you mean {_variable_of(close)}?" if close else ""
            raise ConfigError(f"environment variable {name}={variables[name]}: {key} is no key of any script{meant}")
    return found


def _variable_of(key: str) -> str:
    return f"{PREFIX}{re.sub('[./]', '__', key).upper()}"


def _is_group(groups: Path, key: str) -> bool:
    return (groups / key).is_dir()


def _keys(compose: Compose, config_name: str, chosen: list[str], arguments: list[str]) -> dict[str, str]:
    """Return lower-case key -> key of all keys and groups of a script, as these group choices make it."""
    others = [item for item in arguments if "/" not in key_of(item) and "." not in key_of(item) and "," not in item]
    script_groups = OmegaConf.to_container(compose(config_name, []).hydra.runtime.choices)
    assert isinstance(script_groups, dict)
    usable = [item for item in [*chosen, *others] if key_of(item) in script_groups and "," not in item]
    try:
        config = compose(config_name, usable)
    except ConfigError:
        config = compose(config_name, [])  # the wrong choice is reported by the check of the overrides
    keys: dict[str, str] = {}

    def walk(node: Any, prefix: str) -> None:
        for key, value in node.items():
            keys[f"{prefix}{key}".lower()] = f"{prefix}{key}"
            if isinstance(value, dict):
                walk(value, f"{prefix}{key}.")

    walk(OmegaConf.to_container(config, resolve=False, throw_on_missing=False), "")
    return keys | {str(name).lower(): str(name) for name in script_groups}


def key_of(override: str) -> str:
    """Return the key of an override without its marks (+, ++, ~) and package."""
    return override.partition("=")[0].lstrip("+~").partition("@")[0]


def swept_keys(overrides: list[str]) -> set[str]:
    """Return the keys whose override is a sweep, such as seed=1,2 or optim.clip_norm=interval(1,10)."""
    return {key_of(item) for item in overrides if parse_override(item).is_sweep_override()}


def single_runs(overrides: list[str]) -> list[list[str]]:
    """Return runs of a sweep that together have every one of its values, to be checked before the first is started.

    All sweeps at their first value, then each sweep at each of its other values. A sweep whose values only Hydra knows
    (glob) is left out.
    """
    values: list[tuple[str, list[str]]] = []
    for item in overrides:
        choices = _choices(item)
        if choices:
            values.append((key_of(item), choices))
    first = [choices[0] for _, choices in values]
    runs = [first]
    for index, (_, choices) in enumerate(values):
        runs += [[*first[:index], other, *first[index + 1 :]] for other in choices[1:]]
    return runs


def _choices(override: str) -> list[str]:
    from hydra.core.override_parser.types import Glob, IntervalSweep, RangeSweep

    parsed = parse_override(override)
    if not parsed.is_sweep_override():
        return [override]
    sweep = parsed.value()
    key = override.partition("=")[0]
    if isinstance(sweep, IntervalSweep):
        return [f"{key}={sweep.start}", f"{key}={sweep.end}"]
    if isinstance(sweep, Glob):
        return []
    limit = 1 if isinstance(sweep, RangeSweep) else MOST_CHOICES
    return [f"{key}={value}" for value in islice(parsed.sweep_string_iterator(), limit)]


def parse_override(override: str) -> Any:
    """Return what Hydra's grammar reads in an override.

    Raises:
        ConfigError: if it is none.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import OverrideParseException

    try:
        return OverridesParser.create().parse_overrides([override])[0]
    except OverrideParseException as error:
        line = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
        raise ConfigError(f"{override} cannot be read as key=value: {line}") from error


def sweep_suffix(number: int, varied: Iterable[str]) -> str:
    """Return what distinguishes a run of a sweep: its number and the varied values, fit for a folder's name.

    Args:
        number: of the run in the sweep; alone makes the name unique.
        varied: overrides such as optim.optimizer.lr=0.001.
    """
    parts = [f"{key_of(item).rsplit('.', 1)[-1]}-{_shortened(item.partition('=')[2].strip(QUOTES))}" for item in varied]
    text = re.sub(r"[^\w.+-]+", "-", "_".join(parts))[:LONGEST_SUFFIX].strip("-_.")
    return f"{number}_{text}" if text else str(number)


def _shortened(value: str) -> str:
    """Round a fraction to what a name needs; the run's config.yaml has it exactly."""
    return f"{float(value):.4g}" if re.fullmatch(r"-?\d+\.\d{4,}(e[+-]?\d+)?", value) else value


def run_suffix() -> str:
    """Return what the name of a run ends with: "" but in a sweep, else an underscore and its sweep_suffix."""
    suffix = os.environ.get(RUN_SUFFIX)
    return f"_{suffix}" if suffix else ""
