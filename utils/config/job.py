"""What a script is asked to do: a typed configuration, validated once."""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self, TypeVar

from omegaconf import OmegaConf
from pydantic import PrivateAttr

from utils.config.arguments import spell
from utils.config.composing import Composed, compose, resolved, to_yaml
from utils.config.environment import key_of
from utils.config.fields import OneTextOrNumber, Section, defaults_of, section_of, text_keys, uses_of, validate
from utils.config.flags import SWEEP
from utils.config.pluggable import Pluggable
from utils.config.renamed import REMOVED, with_current_keys
from utils.errors import ConfigError

Value = TypeVar("Value")
log = logging.getLogger(__name__)


class Job(Section):
    """The configuration of a script. Attribute paths are its keys: job.trainer.steps is trainer.steps.

    Attributes:
        config_name: its root, a file in configs/.
        usage: what --help says above groups and keys.
        short_keys: key as it is typed -> key.
    """

    config_name: ClassVar[str]
    usage: ClassVar[str] = ""
    short_keys: ClassVar[dict[str, str]] = {}
    _given: frozenset[str] = PrivateAttr(default=frozenset())
    _composed: dict[str, Any] = PrivateAttr(default_factory=dict)

    @classmethod
    def spell(cls, arguments: Sequence[str], *, is_sweep: bool = False) -> list[str]:
        """Put a command line into Hydra's grammar, where users type it otherwise; see arguments.spell."""
        kinds = dict(text_keys(cls))
        kinds |= {short: kinds[key] for short, key in cls.short_keys.items() if key in kinds}
        numbers = {key for key, kind in kinds.items() if issubclass(kind, OneTextOrNumber)}
        is_sweep = is_sweep or any(argument in SWEEP for argument in arguments)
        return spell(arguments, set(kinds), numbers=numbers, renamed=cls.short_keys, is_sweep=is_sweep)

    @classmethod
    def from_config(cls, config: Composed, given: Collection[str] = ()) -> Self:
        """Validate what Hydra composed.

        Args:
            config: all of the script's configuration.
            given: keys that command line and environment set.
        Raises:
            ConfigError: in one line, naming the key, its value and what is allowed.
        """
        job = validate(cls, _with_pluggables(cls, resolved(config)))
        job._given = frozenset(given)
        composed: Any = OmegaConf.to_container(config, resolve=False)
        job._composed = composed
        job._refuse_idle()
        return job

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """Validate plain data, such as a run's config.yaml; what earlier versions had besides is left out."""
        kept = {key: value for key, value in plain.items() if key not in REMOVED.get(cls.config_name, {})}
        return cls.from_config(OmegaConf.create(kept))

    @classmethod
    def from_overrides(cls, overrides: Sequence[str]) -> Self:
        """Compose and validate the script's configuration with overrides as on its command line."""
        current, notes = with_current_keys(cls.spell(overrides))
        for note in notes:
            log.warning("%s", note)
        return cls.from_config(cls.compose(current), [key_of(item) for item in current])

    @classmethod
    def compose(cls, overrides: Sequence[str] = (), *, with_hydra: bool = False) -> Composed:
        """Compose the script's configuration without validating it, where asked for with Hydra's own section.

        Raises:
            ConfigError: if an override names an unknown key or option.
        """
        return compose(cls.config_name, overrides, defaults_of(cls), with_hydra=with_hydra)

    @property
    def uses(self) -> Mapping[str, str]:
        """What is asked for, by what settings may depend on: where a key has no effect, it must not be typed."""
        return {}

    @property
    def given(self) -> frozenset[str]:
        """Keys that somebody typed, on the command line or in the environment."""
        return self._given

    def with_values(self, values: Mapping[str, Any]) -> Self:
        """Return the job with other values of dotted keys; keys that follow them follow, and all is validated again."""
        config = OmegaConf.create(self._composed)
        for key, value in values.items():
            OmegaConf.update(config, key, value)
        return self.from_config(config, self._given)

    def _refuse_idle(self) -> None:
        for key in sorted(self._given):
            for dimension, effective in _uses_of_key(type(self), key):
                use = self.uses[dimension]
                if use not in effective:
                    words = f"leave it out (it is for {', '.join(effective)})"
                    typed = next((short for short, long in self.short_keys.items() if long == key), key)
                    raise ConfigError(f"{typed} does nothing with {use}; {words}")

    def to_plain(self) -> dict[str, Any]:
        """Return the resolved configuration as plain dictionaries and lists."""
        plain: dict[str, Any] = _with_lists(self.model_dump())
        return plain

    def to_yaml(self) -> str:
        """Return the resolved configuration as runs and checkpoints store it."""
        return to_yaml(self.to_plain())


def _with_pluggables(model: type[Section], values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Tell each pluggable node its key, for messages."""
    found = dict(values)
    for name, field in model.model_fields.items():
        section = section_of(field)
        if field.annotation in (Pluggable, Pluggable | None) and found.get(name) is not None:
            found[name] = Pluggable.of(found[name], f"{prefix}{name}")
        elif section is not None and isinstance(found.get(name), Mapping):
            found[name] = _with_pluggables(section, found[name], f"{prefix}{name}.")
    return found


def _uses_of_key(model: type[Section], key: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield what a key depends on, from its outermost section inwards."""
    section: type[Section] | None = model
    for name in key.split("."):
        field = section.model_fields.get(name) if section else None
        if field is None:
            return
        yield from uses_of(field).items()
        section = section_of(field)


def _with_lists(value: Any) -> Any:
    """Return plain data as YAML has it: lists, no tuples."""
    if isinstance(value, dict):
        return {key: _with_lists(item) for key, item in value.items()}
    return [_with_lists(item) for item in value] if isinstance(value, list | tuple) else value


def required(key: str, value: Value | None, hint: str) -> Value:
    """Return a value that the user has to give.

    Raises:
        ConfigError: if it is missing or empty; the hint, a command to type, is on its second line.
    """
    if value is None or value == "":
        raise ConfigError(f"{key} is missing.", hint=hint)
    return value
