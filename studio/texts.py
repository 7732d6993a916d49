"""Texts of the studio in each language: one file a language in studio/languages, chosen per browser.

say = Texts("de"); say("train.start")
raise ConfigError(Line("error.upload_kind", file="a.txt"))      in modules that do not know who reads it
say.told(error)                                                on the page that does
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Self

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
        """Return the text of a dotted key, with values in the place of its {names}; of a count of 1 its `<key>_one`."""
        single = f"{key}_one" if values.get("count") == 1 else key
        text = self._texts.get(single) or self._texts.get(key) or _flat(DEFAULT).get(single) or _flat(DEFAULT)[key]
        return text.format(**values) if values else text

    def told(self, said: object) -> str:
        """Return a Line, or the message of an error that is one, in this language; what the scripts say stays as it is.

        Args:
            said: a text, an error of the workbench, or parts of a sentence, which are joined by commas.
        """
        if isinstance(said, BaseException):
            first = said.args[0] if said.args else ""
            return f"{self.told(first)}{str(said).removeprefix(str(first))}" if isinstance(first, Line) else str(said)
        if isinstance(said, tuple):
            return ", ".join(self.told(part) for part in said)
        if not isinstance(said, Line):
            return str(said)
        return self.filled(said.key, said.values)

    def filled(self, key: str, values: Mapping[str, object]) -> str:
        """Return a text with values that may be Lines themselves."""
        told = {name: value if isinstance(value, int) else self.told(value) for name, value in values.items()}
        return self(key, **told)

    def word(self, text: str) -> str:
        """Return a word that the scripts write about their progress in this language; another one as it is."""
        key = f"word.{text}"
        return self(key) if self.has(key) else text

    def has(self, key: str) -> bool:
        """Whether there is such a text."""
        return key in _flat(DEFAULT)


class Line(str):
    """A line of a language file that is said before it is known who reads it; by itself it is English.

    Args:
        key: dotted, of the text.
        values: for its {names}; a Line among them is told in the same language.

    Attributes:
        key, values: the same.
    """

    key: str
    values: Mapping[str, object]

    def __new__(cls, key: str, **values: object) -> Self:
        line = super().__new__(cls, Texts(DEFAULT).filled(key, values))
        line.key, line.values = key, values
        return line


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
