"""Which converted file belongs to which source."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from utils.audio.listing import list_audio
from utils.errors import DataError
from utils.inference.pipeline import output_names

MOST_NAMES = 5  # in a message


class Pairs(NamedTuple):
    """(source, converted file) of each source that has one, and the sources without."""

    found: list[tuple[Path, Path]]
    absent: list[Path]


def pair_files(converted: Path, sources: Sequence[Path], below: Path | None) -> Pairs:
    """Find the converted file of each source.

    Args:
        converted: folder of converted files.
        sources: the source recordings; those without a converted file are an error unless `below` is given.
        below: folder of the sources; a converted file then lies in `converted` where its source lies in this one, and
            sources without one are left out. None goes by the names alone.
    Raises:
        DataError: if a source has no converted file, or it is ambiguous which file belongs to which source.
    """
    outputs: dict[Path, list[Path]] = {}
    for path in list_audio(converted):
        outputs.setdefault(path.relative_to(converted if below else path.parent).with_suffix(""), []).append(path)
    names = [path.relative_to(below or path.parent) for path in sources]
    _refuse_twice(names, sources, "name")
    found = {
        source: _converted_of(name, made.with_suffix(""), outputs)
        for source, name, made in zip(sources, names, output_names(names), strict=True)
    }
    pairs = [(source, output) for source, output in found.items() if output is not None]
    _refuse_twice([output for _, output in pairs], [source for source, _ in pairs], "converted file")
    absent = [source for source, output in found.items() if output is None]
    if absent and (below is None or not pairs):
        raise DataError(
            f"{len(absent)} of {len(sources)} sources have no converted file of the same name in "
            f"{converted}, for example {names[sources.index(absent[0])]}"
        )
    return Pairs(pairs, absent)


def listed(paths: Sequence[Path]) -> str:
    """Return the first few paths in words."""
    return ", ".join(str(path) for path in paths[:MOST_NAMES]) + ", ..." * (len(paths) > MOST_NAMES)


def _converted_of(name: Path, made: Path, outputs: dict[Path, list[Path]]) -> Path | None:
    """Return the converted file of a source.

    Args:
        name: of the source, with its ending.
        made: of its converted file without the ending, if it was converted together with the other sources.
        outputs: converted files by their names without the ending.
    Raises:
        DataError: if there are several, or what there is may belong to another source.
    """
    plain = name.with_suffix("")
    found = outputs.get(made, []) or (outputs.get(name, []) if made == plain else [])
    if len(found) > 1:
        raise DataError(f"{name} has {len(found)} converted files: {listed(found)}; leave one of them")
    if not found and outputs.get(plain):
        raise DataError(f"{listed(outputs[plain])} may be of {name} or of another source of that name; rename one")
    return found[0] if found else None


def _refuse_twice(items: Sequence[Path], sources: Sequence[Path], what: str) -> None:
    """Refuse sources that share an item, naming those of the first."""
    shared = next((item for item, count in Counter(items).items() if count > 1), None)
    if shared is not None:
        theirs = [source for source, item in zip(sources, items, strict=True) if item == shared]
        raise DataError(f"the sources {listed(theirs)} have one {what}, {shared}; rename one and convert it again")
