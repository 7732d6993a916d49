"""Find the recordings of a source folder and who speaks in them."""

import fnmatch
import os
import unicodedata
from collections import Counter
from collections.abc import Sequence
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


def find_sources(source: Path, speaker: str | None, *, exclude: Path, leave_out: Sequence[str] = ()) -> SourceListing:
    """List the recordings under a folder: each sub-folder is a speaker, or the whole folder is one.

    Files that lie directly in the source belong to a speaker named like the source. Hidden files and folders are left
    out; a file with an unknown suffix counts when libsndfile recognises its content.

    Args:
        source: a folder, or a single recording.
        speaker: name for all recordings; None goes by folder.
        exclude: a folder never looked into (the datasets, should they lie inside the source).
        leave_out: paths below the source, which may have * and ?, or one .txt file of such lines.
    Raises:
        DataError: if the source is missing or holds no recording, or the list to leave out cannot be read.
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
    top = source.resolve()
    outside = [item.source for item in listing.files if not item.path.resolve().is_relative_to(top)]
    if outside:
        listing.notes.append(
            f"recordings outside of {source}, behind links: {len(outside)}, for example {outside[0]}; if they are not "
            "yours to use, leave them out (dataset.exclude)"
        )
    _leave_out(listing, _patterns(leave_out))
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


def _patterns(leave_out: Sequence[str]) -> list[str]:
    """Return the patterns, read from the file where a .txt file is named."""
    if len(leave_out) != 1 or not leave_out[0].endswith(".txt"):
        return list(leave_out)
    try:
        lines = Path(leave_out[0]).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"dataset.exclude={leave_out[0]} cannot be read ({error})") from error
    return [line.strip() for line in lines if line.strip()]


def _leave_out(listing: SourceListing, patterns: Sequence[str]) -> None:
    """Take the recordings that patterns name from a listing, and note how many, or which pattern names none."""
    if not patterns:
        return
    names = [item.source for item in listing.files]
    listing.notes += [f"dataset.exclude: {item!r} names no recording" for item in patterns if not _named(names, item)]
    left = {name for item in patterns for name in _named(names, item)}
    listing.files = [item for item in listing.files if item.source not in left]
    if not listing.files and names:
        raise DataError(f"dataset.exclude={','.join(patterns)} leaves out every recording")
    if left:
        listing.notes.append(f"left out by dataset.exclude: {len(left)} recordings")


def _named(names: Sequence[str], pattern: str) -> list[str]:
    """Return the names that a pattern means: the name itself, brackets and all, or what its * and ? stand for."""
    return [pattern] if pattern in names else fnmatch.filter(names, pattern)


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
