"""Find the recordings of a source folder and who speaks in them."""

import os
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from utils.audio.decoding import SOUND_SUFFIXES, is_sound_by_content
from utils.console import utf8_text
from utils.errors import DataError
from utils.files import files_below


@dataclass(frozen=True)
class SourceFile:
    """A file to read.

    Attributes:
        path: where it is.
        source: its path below the source folder, with "/" and printable.
        speaker: who speaks in it.
    """

    path: Path
    source: str
    speaker: str


@dataclass
class SourceListing:
    """What a source folder holds.

    Attributes:
        files: the recordings, sorted by speaker and path.
        empty_folders: speaker folders without any recording, relative.
        ignored: number of files that are no sound by their suffix and content, by suffix.
        notes: what the user should know about the interpretation of the folder.
    """

    files: list[SourceFile] = field(default_factory=list)
    empty_folders: list[str] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


def find_sources(source: Path, speaker: str | None, *, exclude: Path) -> SourceListing:
    """List the recordings under a folder: each sub-folder is a speaker, or the whole folder is one.

    Files that lie directly in the source belong to a speaker named like the source. Hidden files and folders are left
    out; a file with an unknown suffix counts when libsndfile recognises its content.

    Args:
        source: a folder, or a single recording.
        speaker: name for all recordings; None goes by folder.
        exclude: a folder never looked into (the datasets, should they lie inside the source).
    Raises:
        DataError: if the source is missing or holds no recording.
    """
    if not source.exists():
        raise DataError(f"dataset.source={source} does not exist (looked from {Path.cwd()})")
    listing = SourceListing()
    own_name = speaker or printable(source.absolute().name if source.is_dir() else source.stem)
    if source.is_file():
        listing.files.append(SourceFile(source, printable(source.name), own_name))
        return listing
    folders: dict[str, int] = {}
    for path in _walk(source, exclude.absolute(), listing.ignored, folders):
        parts = path.relative_to(source).parts
        name = speaker or (printable(parts[0]) if len(parts) > 1 else own_name)
        if len(parts) > 1:
            folders[parts[0]] += 1
        listing.files.append(SourceFile(path, printable("/".join(parts)), name))
    listing.files.sort(key=lambda item: (item.speaker, item.source))
    listing.empty_folders = sorted(printable(name) for name, count in folders.items() if not count)
    num_direct = sum("/" not in item.source for item in listing.files)
    if not listing.files:
        found = ", ".join(f"{count} {suffix or 'without suffix'}" for suffix, count in listing.ignored.most_common(4))
        raise DataError(f"dataset.source={source} holds no sound files" + (f" (only {found})" if found else ""))
    if speaker is None and num_direct and any(folders.values()):
        listing.notes.append(
            f"files directly in the source, beside speaker folders, are taken as speaker {own_name!r}: {num_direct} "
            "(set dataset.speaker=<name> to make everything one speaker)"
        )
    return listing


def printable(name: str) -> str:
    """Return a file name as composed Unicode; bytes that are no UTF-8 become the replacement character."""
    return unicodedata.normalize("NFC", utf8_text(name))


def _walk(source: Path, exclude: Path, ignored: Counter[str], folders: dict[str, int]) -> list[Path]:
    """Return sound files below a folder; counts the others by suffix and enters the top folders' names."""
    tops = next(os.walk(source), ("", [], []))[1]
    folders.update({name: 0 for name in sorted(tops) if not name.startswith(".")})
    found: list[Path] = []
    for path in files_below(source, exclude):
        if path.suffix.lower() in SOUND_SUFFIXES or is_sound_by_content(path):
            found.append(path)
        else:
            ignored[printable(path.suffix.lower())] += 1
    return found
