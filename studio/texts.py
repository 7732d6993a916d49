"""Texts of the studio in each language: one file a language in studio/languages, chosen per browser."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).resolve().parent / "languages"
DEFAULT = "en"


class Texts:
    """The texts of one language; what a translation lacks is said in English.

    Args:
        language: name of a file in studio/languages, without its ending.
    """

    def __init__(self, language: str) -> None:
        self.language = language if language in languages() else DEFAULT
        self._texts = _flat(self.language)

    def __call__(self, key: str, **values: object) -> str:
        """Return the text of a dotted key, with values in the place of its {names}."""
        text = self._texts.get(key) or _flat(DEFAULT)[key]
        return text.format(**values) if values else text

    def has(self, key: str) -> bool:
        """Whether there is such a text."""
        return key in _flat(DEFAULT)


@cache
def languages() -> dict[str, str]:
    """Return the languages by the names of their files, each with its own name; machine-made ones say so."""
    return {name: _flat(name)["language"] for name in sorted(path.stem for path in FOLDER.glob("*.yaml"))}


@cache
def _flat(language: str) -> dict[str, str]:
    content = yaml.load((FOLDER / f"{language}.yaml").read_text(encoding="utf-8"), Loader=_loader())
    return dict(_leaves(content, ""))


def _loader() -> type:
    """Return the parser that is made of C where it was built: it is ten times faster."""
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _leaves(node: Mapping[str, Any], prefix: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in node.items():
        if isinstance(value, Mapping):
            found += _leaves(value, f"{prefix}{key}.")
        else:
            found.append((f"{prefix}{key}", str(value)))
    return found
