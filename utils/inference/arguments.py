"""Command-line arguments that are paths, as a shell user types them."""

from collections.abc import Collection, Sequence


def spell_paths(arguments: Sequence[str], keys: Collection[str], renamed: dict[str, str]) -> list[str]:
    """Quote the values of path arguments for Hydra, whose own grammar stops at spaces, brackets and commas.

    Args:
        arguments: the command line without the program.
        keys: those whose value is one path.
        renamed: key -> the key to give to Hydra, for keys that have the name of a configuration group.
    """
    return [_spell(argument, keys, renamed) for argument in arguments]


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
