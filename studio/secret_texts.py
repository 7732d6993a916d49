"""Passwords, tokens and keys in what is shown of a log or a command line: replaced by stars."""

import os
import re
from collections.abc import Iterable, Mapping

from utils.config.secret_keys import SECRET_NAME, SECRET_WORD, STARS

SHORTEST = 6  # letters; a shorter value of a variable would blank out words that have nothing to do with it
WORD = r"[\w.-]{0,60}"  # bounded: a long line without a blank would take minutes
VALUE = r"(?:bearer\s+|basic\s+)?(?:\"[^\"\n]*\"|'[^'\n]*'|[^\s,;&]+)"
PATTERNS = (
    # key=value and key: value, with a name in front such as logger.api_key or "HF_TOKEN"
    (re.compile(rf"(\b{WORD}{SECRET_WORD}{WORD}[\"']?\s*[=:]\s*){VALUE}", re.IGNORECASE), rf"\1{STARS}"),
    (re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1 {STARS}"),
    (re.compile(r"(://)[^\s/@]+@"), rf"\1{STARS}@"),  # user and password of an address
    # forms that services give their keys: Hugging Face, GitHub, OpenAI, AWS, Slack, Google; JSON web tokens
    (
        re.compile(
            r"\b(?:hf_\w{10,}|gh[pousr]_\w{10,}|github_pat_\w{10,}|sk-[\w-]{16,}|AKIA[0-9A-Z]{12,}|xox[abprs]-[\w-]{8,}"
            r"|AIza[\w-]{20,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)"
        ),
        STARS,
    ),
)


def without_secrets(text: str, known: Iterable[str] = (), environment: Mapping[str, str] | None = None) -> str:
    """Return a text with stars in the place of what looks like a password, token or key.

    Args:
        text: of any length.
        known: values that are secret whatever they look like, such as the studio's own password.
        environment: variables; the values of those whose name speaks of a secret are replaced. This process's unless
            given.
    """
    variables = os.environ if environment is None else environment
    values = {value for name, value in variables.items() if SECRET_NAME.search(name) and len(value) >= SHORTEST}
    for value in sorted(values | {value for value in known if value}, key=len, reverse=True):
        text = text.replace(value, STARS)
    for pattern, replacement in PATTERNS:
        text = pattern.sub(replacement, text)
    return text
