"""Keys and variables whose value nobody shall read."""

import re

SECRET_WORD = r"(?:password|passwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credentials?|authorization)"
SECRET_NAME = re.compile(SECRET_WORD, re.IGNORECASE)
STARS = "***"


def without_secret(override: str) -> str:
    """Return an override such as password=swordfish with stars for its value, others as they are."""
    key, sign, _ = override.partition("=")
    return f"{key}={STARS}" if sign and SECRET_NAME.search(key) else override
