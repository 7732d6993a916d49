"""Voices of other programs that were imported: which of their files can be exported, and with which index."""

from pathlib import Path

from studio.importing import WEIGHTS
from studio.workspace import Workspace

FOLDER = "imported"
EXPORTED = tuple(suffix for suffix in WEIGHTS if suffix != ".pt")  # a .pt is a cluster file or an encoder
INDEX = ".index"


def imported_voices(workspace: Workspace) -> dict[str, Path]:
    """Return the files that may be voices by <import>/<file>, the newest import first; paths from the folder."""
    root = workspace.folder / FOLDER
    found = _files(workspace, EXPORTED)
    return {path.relative_to(root).as_posix(): path.relative_to(workspace.folder) for path in found}


def imported_indexes(workspace: Workspace) -> dict[str, Path]:
    """Return the index files of all imports by <import>/<file>; paths from the folder."""
    root = workspace.folder / FOLDER
    return {
        path.relative_to(root).as_posix(): path.relative_to(workspace.folder) for path in _files(workspace, (INDEX,))
    }


def index_beside(workspace: Workspace, voice: Path) -> Path | None:
    """Return the index that was imported together with a voice; paths from the folder, None where there is none."""
    return next((path for path in imported_indexes(workspace).values() if path.parent == voice.parent), None)


def _files(workspace: Workspace, suffixes: tuple[str, ...]) -> list[Path]:
    """Return the files of these kinds, those of the newest import first."""
    folders = [path.parent for path in (workspace.folder / FOLDER).glob("*/import.json")]
    folders = [folder for folder in folders if not folder.name.startswith(".")]
    folders.sort(key=lambda folder: folder.stat().st_mtime, reverse=True)
    return [path for folder in folders for path in sorted(folder.iterdir()) if path.suffix.lower() in suffixes]
