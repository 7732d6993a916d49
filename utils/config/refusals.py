"""One line for what Hydra and OmegaConf refuse, with the key or option that was meant."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError

from utils.config.environment import key_of, parse_override
from utils.config.places import CONFIG_FOLDER, is_group, options_of, script_of
from utils.config.suggestions import did_you_mean
from utils.errors import ConfigError

OF_HYDRA = "hydra"  # its sections and groups
Compose = Callable[[Sequence[str]], DictConfig]


def refuse_before_composing(config_name: str, overrides: Sequence[str]) -> None:
    """Refuse what Hydra reports in many lines.

    Raises:
        ConfigError: if an override has several values, or a group has no such option.
    """
    for item in overrides:
        parsed = parse_override(item)
        if parsed.is_sweep_override():
            raise ConfigError(f"{item} has several values; type one of them, or -m in front to run with each")
        group = str(parsed.key_or_group)
        if is_group(config_name, group) and not parsed.is_delete() and parsed.package is None:
            option = parsed.value()
            if not isinstance(option, str) or not (CONFIG_FOLDER / group / f"{option}.yaml").is_file():
                raise ConfigError(_unknown_option(item, group))


def _unknown_option(item: str, group: str) -> str:
    options = options_of(group)
    typed = item.partition("=")[2].strip("'\"")
    thousands = f"{typed.removesuffix('000')}k"  # audio=48000
    meant = f"; did you mean {group}={thousands}?" if thousands in options else ""
    return f"{item} is no option; allowed: {', '.join(options)}{meant or did_you_mean(typed, options)}"


def explain_refusal(error: Exception, config_name: str, overrides: Sequence[str], compose: Compose) -> str:
    """Return one line for why a script's configuration could not be composed.

    Args:
        error: what Hydra or OmegaConf said.
        config_name: root configuration of the script.
        overrides: as on the command line.
        compose: composes the script's configuration, with Hydra's section, with other overrides.
    """
    known = known_keys(config_name, overrides, compose)
    script = script_of(config_name)
    for item in overrides:
        key, mark = key_of(item), item[:1]
        if key not in known and mark not in "+~":
            similar = [name for name in known if name.startswith(f"{OF_HYDRA}.") == key.startswith(OF_HYDRA)]
            return (
                f"{key} is no key of {script}{did_you_mean(key, similar, _value_of(item))} "
                f"(python {script} --help lists the groups and keys)"
            )
    guilty = [item for item in overrides if not _composes(compose, item)]
    text = explain_override(error)
    return text if not guilty or key_of(guilty[0]) in text else f"{guilty[0]} is refused: {text}"


def known_keys(config_name: str, overrides: Sequence[str], compose: Compose) -> list[str]:
    """Return all keys and groups of a script, with Hydra's, as the options that are chosen make them."""
    chosen = [item for item in overrides if is_group(config_name, key_of(item)) and _composes(compose, item)]
    try:
        config = compose(chosen)
    except Exception:  # noqa: BLE001  options that do not fit together are reported as the first error was
        config = compose([])
    groups = [str(name) for name in config.hydra.runtime.choices]
    plain = OmegaConf.to_container(config, resolve=False, throw_on_missing=False)
    return [*groups, *(name for name, _ in leaves(plain))]


def leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted keys of plain data and their values; a mapping without keys is a value."""
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _value_of(item: str) -> str:
    return f"={item.partition('=')[2]}" if "=" in item else ""


def _composes(compose: Compose, item: str) -> bool:
    try:
        compose([item])
    except Exception:  # noqa: BLE001  Hydra meets some values with an error of any kind; the question is which
        return False
    return True


def explain_override(error: Exception) -> str:
    """Return one line for what Hydra or OmegaConf says about an override."""
    from hydra.errors import OverrideParseException

    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    if isinstance(error, OverrideParseException):
        return f"{error.override} cannot be read as key=value: {lines[0]}"
    if error.__cause__ is not None:
        lines += [line.strip() for line in str(error.__cause__).splitlines() if line.strip()]
    dropped = ("full_key", "object_type", "reference_type", "Key '", "To append")
    keep = [line for line in lines if not line.startswith(dropped)]
    options = [line for line in lines if line.startswith("Key '")]
    text = " ".join(keep[:1] + options[:1]) or lines[0]
    if "Available options" in " ".join(lines):
        found = " ".join(lines)
        text = found[: found.find("Config search path")] if "Config search path" in found else found
    return text.strip()


def explain_value(error: Exception, config: DictConfig) -> str:
    """Return one line for a value of another key, such as ${trainer.steps}, that cannot be had."""
    plain: Any = OmegaConf.to_container(config, resolve=False, throw_on_missing=False)
    every = dict(leaves(plain))
    for key, value in every.items():
        fault = _fault_of(config, key) if isinstance(value, str) and "${" in value else None
        if fault is not None:
            return f"{key}={value} cannot be read: {_reason(fault, value, list(every))}"
    return explain_override(error)


def _fault_of(config: DictConfig, key: str) -> Exception | None:
    try:
        value = OmegaConf.select(config, key)
        OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else None
    except Exception as error:  # noqa: BLE001  resolvers raise what they like
        return error
    return None


def _reason(error: Exception, value: str, known: Sequence[str]) -> str:
    if isinstance(error, RecursionError) or "Recursive" in str(error):
        return "it is made of itself"
    if isinstance(error, InterpolationKeyError):
        name = value.partition("${")[2].partition("}")[0]
        return f"there is no key {name}{did_you_mean(name, known)}"
    return f"{explain_override(error)}; a text with these signs is written \\${{"
