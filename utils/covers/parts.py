"""The steps of a cover as files. The name of each ends with the hash of all that it depends on, so none is made twice.

Plain sound and JSON: a folder of somebody else's holds nothing that could run.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from utils.files import atomic_write_json, sha256_of_json
from utils.version import VERSION

KEY_LETTERS = 16
Facts = Mapping[str, Any]


class Part(NamedTuple):
    """A sound that later steps depend on.

    Attributes:
        path: its file.
        key: name and hash of all that it depends on, or the hash of a file that the user gave.
        facts: what was found out while it was made.
    """

    path: Path
    key: str
    facts: Facts


class PartFolder:
    """Makes parts, or finds those that were made before.

    Args:
        folder: where they lie.
        announce: is given one line for each step.
    """

    def __init__(self, folder: Path, announce: Callable[[str], None]) -> None:
        self._folder, self._announce = folder, announce

    def sounds(
        self, names: Sequence[str], depends_on: Mapping[str, Any], make: Callable[[Sequence[Path]], Sequence[Facts]]
    ) -> list[Part]:
        """Return the sounds of a step.

        Args:
            names: of its files.
            depends_on: keys of other parts and settings, plain data.
            make: writes the files and returns the facts of each; called where one is missing or was changed.
        """
        key = sha256_of_json([VERSION, list(names), dict(depends_on)])[:KEY_LETTERS]
        paths = [self._folder / f"{name}.{key}.wav" for name in names]
        kept = [_facts_of(path) for path in paths]
        found = [facts for facts in kept if facts is not None]
        if len(found) < len(paths):
            started = time.perf_counter()
            found = [{**facts, "bytes": path.stat().st_size} for path, facts in zip(paths, make(paths), strict=True)]
            for path, facts in zip(paths, found, strict=True):
                atomic_write_json(_facts_path(path), facts)
            self._announce(f"{', '.join(names)}: made in {time.perf_counter() - started:.1f} s")
        else:
            self._announce(f"{', '.join(names)}: as before")
        return [Part(path, path.stem, facts) for path, facts in zip(paths, found, strict=True)]

    def sound(self, name: str, depends_on: Mapping[str, Any], make: Callable[[Path], Facts]) -> Part:
        """Return the one sound of a step; see sounds."""
        return self.sounds([name], depends_on, lambda paths: [make(paths[0])])[0]

    def figure(self, name: str, depends_on: Mapping[str, Any], measure: Callable[[], float | None]) -> float | None:
        """Return a figure that is measured once; None is one too."""
        path = self._folder / f"{name}.{sha256_of_json([VERSION, name, dict(depends_on)])[:KEY_LETTERS]}.json"
        kept = _read_json(path)
        if kept is not None and "value" in kept:
            return None if kept["value"] is None else float(kept["value"])
        value = measure()
        atomic_write_json(path, {"value": value})
        return value


def _facts_path(path: Path) -> Path:
    return path.with_suffix(".json")


def _facts_of(path: Path) -> Facts | None:
    """Return the facts of a file that is as it was made; None for any other."""
    facts = _read_json(_facts_path(path))
    is_whole = facts is not None and path.is_file() and facts.get("bytes") == path.stat().st_size
    return facts if is_whole else None


def _read_json(path: Path) -> Facts | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
