"""A folder that is filled aside and moved into place only when everything in it is good."""

import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from utils.errors import ConfigError
from utils.files import check_new_folder

STALE_SECONDS = 24 * 3600.0
log = logging.getLogger(__name__)


@contextmanager
def staging_folder(target: Path, names: Collection[str] = ()) -> Iterator[Path]:
    """Give an empty folder beside the target (same disk); it is gone afterwards, whatever happened.

    What a killed process left there more than a day ago is removed too.

    Args:
        target: <export.root>/<name>, which will be filled.
        names: files that it will get, as far as they are known.
    Raises:
        ConfigError: if nothing can be written there, or a folder stands where a file is to go.
    """
    check_new_folder(target.parent, "export.root")
    check_new_folder(target, "name")
    _refuse_folders(target, names)
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
    Raises:
        ConfigError: if a folder stands where a file is to go.
    """
    new = sorted(path.name for path in staged.iterdir())
    _refuse_folders(target, new)
    target.mkdir(parents=True, exist_ok=True)
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


def _refuse_folders(target: Path, names: Collection[str]) -> None:
    folder = next((target / name for name in names if (target / name).is_dir()), None)
    if folder is not None:
        raise ConfigError(f"{folder} is a folder where the export puts a file; move it away or choose another name=")


def _move(source: Path, destination: Path, moved: list[tuple[Path, Path]]) -> None:
    source.replace(destination)
    moved.append((source, destination))
