"""A folder that is filled aside and moved into place only when everything in it is good."""

import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

STALE_SECONDS = 24 * 3600.0
log = logging.getLogger(__name__)


@contextmanager
def staging_folder(target: Path) -> Iterator[Path]:
    """Give an empty folder beside the target (same disk); it is gone afterwards, whatever happened.

    What a killed process left there more than a day ago is removed too.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{target.name}.staging-"
    for left in target.parent.iterdir():
        if left.name.startswith(prefix) and time.time() - left.stat().st_mtime > STALE_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=prefix))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def move_into_place(staged: Path, target: Path, is_obsolete: Callable[[Path], bool]) -> list[Path]:
    """Replace the files of a folder by the staged ones; on an error the folder is as it was before.

    Args:
        staged: folder on the same disk as the target, without sub-folders; empty afterwards.
        target: folder to fill; made when missing. Its other files stay.
        is_obsolete: says of a file of the target that it belongs to the export that is replaced.
    Returns:
        The new files in the target.
    """
    target.mkdir(parents=True, exist_ok=True)
    new = sorted(path.name for path in staged.iterdir())
    replaced = [path for path in sorted(target.iterdir()) if path.name in new or (path.is_file() and is_obsolete(path))]
    backup = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.previous-"))
    moved: list[tuple[Path, Path]] = []
    try:
        for path in replaced:
            _move(path, backup / path.name, moved)
        for name in new:
            _move(staged / name, target / name, moved)
    except BaseException:
        for source, destination in reversed(moved):
            destination.replace(source)
        backup.rmdir()
        raise
    shutil.rmtree(backup)
    dropped = [path.name for path in replaced if path.name not in new]
    if dropped:
        log.info("removed files of the earlier export: %s", ", ".join(dropped))
    return [target / name for name in new]


def _move(source: Path, destination: Path, moved: list[tuple[Path, Path]]) -> None:
    source.replace(destination)
    moved.append((source, destination))
