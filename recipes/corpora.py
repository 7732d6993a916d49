"""Which recordings a recipe learns from, and which speakers it keeps for validation."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from utils.audio.listing import list_audio
from utils.errors import DataError


class Corpus(NamedTuple):
    """A folder of recordings.

    Attributes:
        name: short name.
        folder: where the recordings are, also in folders below.
        share: part of the training examples that come from here, relative to the other corpora.
    """

    name: str
    folder: Path
    share: float


class Recording(NamedTuple):
    """One sound file; the speaker is the sub-folder, else the part of the file name before the first "-" or "_"."""

    corpus: str
    speaker: str
    path: Path
    is_held_out: bool


def list_recordings(corpora: Sequence[Corpus], held_out: Mapping[str, int]) -> list[Recording]:
    """List every file once, also where symbolic links name it several times.

    Args:
        corpora: the folders.
        held_out: corpus -> how many of its speakers are kept for validation.
    Raises:
        DataError: if a folder has no recordings or fewer speakers than are to be held out.
    """
    found: list[Recording] = []
    seen: set[Path] = set()
    for corpus in corpora:
        fresh = []
        for path in list_audio(corpus.folder):
            if path.resolve() not in seen:
                seen.add(path.resolve())
                fresh.append(path)
        speakers = [speaker_of(path, corpus.folder) for path in fresh]
        apart = choose_held_out(set(speakers), held_out.get(corpus.name, 0), corpus.name)
        found += [
            Recording(corpus.name, speaker, path, speaker in apart)
            for speaker, path in zip(speakers, fresh, strict=True)
        ]
    return found


def speaker_of(path: Path, folder: Path) -> str:
    """Return who speaks, by sub-folder or file name."""
    parts = path.relative_to(folder).parts
    return parts[0] if len(parts) > 1 else path.stem.replace("_", "-").split("-")[0]


def by_number(name: str) -> tuple[bool, int, str]:
    """Return a key that sorts names that are numbers by their value, before all others."""
    return not name.isdigit(), int(name) if name.isdigit() else 0, name


def choose_held_out(speakers: set[str], count: int, corpus: str) -> set[str]:
    """Choose the speakers of a corpus that are kept for validation.

    Raises:
        DataError: if nobody would be left for training.
    """
    if not count:
        return set()
    if count >= len(speakers):
        raise DataError(f"{corpus}: {count} speaker(s) are to be held out of {len(speakers)}; hold out fewer")
    return set(every_nth(speakers, count))


def every_nth(speakers: Collection[str], count: int) -> list[str]:
    """Choose `count` speakers spread over all of them: every n-th, starting in the middle of the first n."""
    step = len(speakers) // count
    return sorted(speakers, key=by_number)[step // 2 :: step][:count]
