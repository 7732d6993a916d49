"""Names that strangers give, inside a page of ours: they stay text, whatever signs they have."""

import html
import re

_SIGNS = re.compile(r"([\\`*\[\]|~$])|(?<!\w)_|_(?!\w)")  # an underscore inside a word means nothing


def plain(value: object) -> str:
    """Return a value as text of one line that is neither Markdown nor HTML; also fit for a cell of a table."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in str(value)).split())
    return _SIGNS.sub(lambda match: f"\\{match[0]}", html.escape(line, quote=False))


def code(value: object) -> str:
    """Return a value as inline code of one line."""
    line = " ".join(str(value).split()).replace("`", "'").replace("|", "/")
    return f"`{line}`"
