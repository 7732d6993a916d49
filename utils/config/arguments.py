"""Command-line arguments as a shell user types them, put into Hydra's grammar.

Hydra's grammar stops at blanks, brackets, accents and commas, and reads 2024_06_01 as a number. A key whose value is
one text or path (fields.OneText) takes all of them.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

_PLAIN = re.compile(r"(?!(?:null|true|false|inf|nan)\Z)/?[a-z_][\w./-]*", re.IGNORECASE | re.ASCII)
_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_FUNCTION = re.compile(r"(?:choice|range|interval|glob|shuffle|sort|tag|int|float|str)\(.*\)", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(?:0|[1-9][0-9]*)")


def spell(
    arguments: Sequence[str],
    texts: Collection[str],
    *,
    numbers: Collection[str] = (),
    renamed: Mapping[str, str] | None = None,
    is_sweep: bool = False,
) -> list[str]:
    """Put a command line into Hydra's grammar; what is in it already stays as it is.

    A text in quotes of its own is what the quotes hold, null is nothing, and ${key} is the value of another key. In a
    sweep a comma separates values, unless it stands in quotes or brackets or has a blank behind it.

    Args:
        arguments: the command line without the program.
        texts: keys whose value is one text or path, whatever it holds.
        numbers: those of them where a whole number stays one.
        renamed: key -> the key to give to Hydra, for keys that have the name of a configuration group.
        is_sweep: whether several values may be given.
    """
    return [_spell(argument, texts, numbers, renamed or {}, is_sweep) for argument in arguments]


def quoted(text: str) -> str:
    """Return a text in Hydra's quotes."""
    # only quotes, and backslashes before a quote, have a meaning inside them
    body = re.sub(r"(\\*)('|\Z)", lambda match: match[1] * 2 + ("\\'" if match[2] else ""), text)
    return f"'{body}'"


def is_text_in_quotes(value: str) -> bool:
    """Return whether a value is one text in quotes of its own."""
    return bool(_QUOTED.fullmatch(value))


def _spell(
    argument: str, texts: Collection[str], numbers: Collection[str], renamed: Mapping[str, str], is_sweep: bool
) -> str:
    typed, separator, value = argument.partition("=")
    key = typed.lstrip("+")
    if not separator or not key or argument[0] in "-~":
        return argument
    if key in texts:
        is_given = is_sweep and _FUNCTION.fullmatch(value)
        parts = list(_values(value)) if is_sweep else [value]
        value = value if is_given else ",".join(_spell_text(part, key in numbers) for part in parts)
    elif not _is_readable(f"{key}={value}"):
        value = quoted(value)  # so that its key can say what it must be
    return f"{typed.removesuffix(key)}{renamed.get(key, key)}={value}"


def _spell_text(value: str, may_be_number: bool) -> str:
    is_given = value in ("", "null") or _PLAIN.fullmatch(value) or is_text_in_quotes(value)
    return value if is_given or (may_be_number and _NUMBER.fullmatch(value)) else quoted(value)


def _values(text: str) -> Iterator[str]:
    """Yield the values of a sweep over a text."""
    depth, start, quote = 0, 0, ""
    for index, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote and text[index - 1] != "\\" else quote
        elif sign in "'\"" and index == start:
            quote = sign
        elif sign in "([{":
            depth += 1
        elif sign in ")]}":
            depth = max(0, depth - 1)
        elif sign == "," and not depth and text[index + 1 : index + 2] not in ("", " "):
            yield text[start:index]
            start = index + 1
    yield text[start:]


def _is_readable(override: str) -> bool:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import OverrideParseException

    try:
        OverridesParser.create().parse_overrides([override])
    except OverrideParseException:
        return False
    return True
