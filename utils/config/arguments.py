"""Command-line arguments that are paths or names, as a shell user types them."""

from collections.abc import Collection, Sequence


def spell_paths(arguments: Sequence[str], keys: Collection[str], renamed: dict[str, str]) -> list[str]:
    """Quote the values of path arguments for Hydra, whose own grammar stops at spaces, brackets and commas.

    Args:
        arguments: the command line without the program.
        keys: those whose value is one path.
        renamed: key -> the key to give to Hydra, for keys that have the name of a configuration group.
    """
    return [_spell(argument, keys, renamed) for argument in arguments]


def spell_names(arguments: Sequence[str], keys: Collection[str]) -> list[str]:
    """Quote the values that Hydra would read as a number or a switch: 2024_06_01 is 20240601 to it.

    Each value of a sweep, such as 2024_06_01,2024_06_02, is quoted by itself; null and all others stay as they are.

    Args:
        arguments: the command line without the program.
        keys: those whose value is a text.
    """
    return [_spell_name(argument, keys) for argument in arguments]


def _spell(argument: str, keys: Collection[str], renamed: dict[str, str]) -> str:
    key, separator, value = argument.partition("=")
    if not separator or key not in keys:
        return argument
    is_plain = value in ("", "null") or (len(value) > 1 and value[0] == value[-1] and value[0] in "'\"")
    if not is_plain:
        # only quotes, and backslashes before a quote, have a meaning inside Hydra's quotes
        body = value.replace("'", "\\'")
        value = f"'{body}\\'" if body.endswith("\\") else f"'{body}'"
    return f"{renamed.get(key, key)}={value}"


def _spell_name(argument: str, keys: Collection[str]) -> str:
    key, separator, value = argument.partition("=")
    if not separator or key.lstrip("+") not in keys:
        return argument
    parts = [f"'{part.strip()}'" if _is_read_as_number(part) else part for part in value.split(",")]
    return f"{key}={','.join(parts)}"


def _is_read_as_number(text: str) -> bool:
    """Return whether Hydra takes a value for a number, true or false."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import OverrideParseException

    try:
        return isinstance(OverridesParser.create().parse_overrides([f"key={text}"])[0].value(), int | float)
    except OverrideParseException:
        return False
