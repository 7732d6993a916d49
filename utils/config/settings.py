"""What kind of value a setting has, and where it has an effect; each script declares its own settings once."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from utils.errors import ConfigError

Kind = Literal["section", "text", "whole number", "number", "texts", "whole numbers", "text or number"]
WORDS = {
    "section": "a section of keys",
    "text": "a text",
    "whole number": "a whole number",
    "number": "a number",
    "texts": "a text or a list of texts",
    "whole numbers": "a whole number or a list of them",
    "text or number": "a text or a number",
}


@dataclass(frozen=True)
class Setting:
    """A key of a script, or of all that begin with it.

    Attributes:
        key: with dots.
        kind: of its value; a section holds other keys.
        example: what to type instead of a wrong value.
        is_optional: whether it may be null.
        read_by: the uses of the script in which it has an effect; empty for all.
    """

    key: str
    kind: Kind
    example: str
    is_optional: bool = False
    read_by: tuple[str, ...] = ()


def check_kinds(plain: Mapping[str, Any], settings: Sequence[Setting], use: str) -> None:
    """Refuse values of another kind than is declared, and unknown keys in sections whose keys are declared.

    A key that is not there counts as null, but where it belongs to other uses.

    Args:
        plain: the resolved configuration.
        settings: sections before what stands in them.
        use: what the script is asked for, a name that `read_by` of the settings has.
    Raises:
        ConfigError: in one line, naming key, value and an example.
    """
    for setting in settings:
        *sections, name = setting.key.split(".")
        node: Any = plain
        for section in sections:
            node = node.get(section) if isinstance(node, Mapping) else None
        if isinstance(node, Mapping) and (name in node or not setting.read_by or use in setting.read_by):
            _check_kind(setting, node.get(name))
            if setting.kind == "section":
                _check_keys(setting.key, node.get(name) or {}, settings)


def refuse_idle(given: Collection[str], settings: Sequence[Setting], use: str) -> None:
    """Refuse keys that somebody typed and that have no effect.

    Args:
        given: what the command line and the environment set.
        settings: all of the script.
        use: what the script is asked for, a name that `read_by` of the settings has.
    Raises:
        ConfigError: in one line, naming key and use.
    """
    for setting in settings:
        typed = next((key for key in sorted(given) if _covers(setting.key, key)), None)
        if typed is not None and setting.read_by and use not in setting.read_by:
            raise ConfigError(f"{typed} does nothing with {use}; leave it out (it is for {', '.join(setting.read_by)})")


def as_list(value: Any) -> list[Any]:
    """Return what stands in a value of the kind "texts" or "whole numbers"; nothing for null."""
    return [] if value is None else value if isinstance(value, list) else [value]


def _covers(key: str, typed: str) -> bool:
    """Whether a typed key is this one or lies in it."""
    return typed == key or typed.startswith(f"{key}.")


def _check_keys(section: str, values: Mapping[str, Any], settings: Sequence[Setting]) -> None:
    known = {key for item in settings if (key := item.key.removeprefix(f"{section}.")) != item.key and "." not in key}
    unknown = next((name for name in values if name not in known), None)
    if known and unknown is not None:
        raise ConfigError(f"{section}.{unknown} is no key; allowed in {section}: {', '.join(sorted(known))}")


def _check_kind(setting: Setting, value: Any) -> None:
    if value is None and setting.is_optional:
        return
    if not _is_of(setting.kind, value):
        null = " or null" * setting.is_optional
        shown = "null" if value is None else repr(value)
        raise ConfigError(f"{setting.key}={shown} must be {WORDS[setting.kind]}{null}, such as {setting.example}")


def _is_of(kind: Kind, value: Any) -> bool:
    if kind == "section":
        return isinstance(value, Mapping)
    if kind in ("texts", "whole numbers"):
        items = value if isinstance(value, list) else [value]
        return all(_is_of("text" if kind == "texts" else "whole number", item) for item in items)
    if kind == "text":
        # a name such as 2024 is read as a number; numbers are texts, too
        return _is_of("number", value) or (isinstance(value, str) and bool(value.strip()))
    if kind == "text or number":
        return isinstance(value, str) or _is_of("number", value)
    return isinstance(value, int if kind == "whole number" else int | float) and not isinstance(value, bool)
