"""The bin: deleted items wait in a hidden folder of their own disk until they are restored or it is emptied."""

import secrets
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from studio.jobs import Job
from studio.manifests import UNREADABLE, Kind, read_json
from studio.progress import values_of
from studio.texts import Line
from utils.errors import ConfigError, one_line_for_files
from utils.files import atomic_write_json
from utils.locks import try_lock

BIN, RECORD, CONTENT = ".bin", "deleted.json", "content"
LOCK = ".lock"  # which train.py and preprocess.py hold while they work on a folder
# keys of the scripts whose value names an item or a place in it
NAMING: dict[Kind, tuple[str, ...]] = {
    "dataset": ("dataset.name", "dataset"),
    "run": ("run.name", "run", "resume"),
    "voice": ("name", "onnx", "verify", "voice"),
    "imported": ("voice", "onnx", "verify"),
}


@dataclass(frozen=True)
class Binned:
    """A deleted item.

    Attributes:
        id: of its place in the bin.
        kind: of the item.
        name: that it had and gets again.
        deleted: when, in seconds since 1970.
    """

    id: str
    kind: Kind
    name: str
    deleted: float


def require_unused(kind: Kind, name: str, folder: Path, jobs: Iterable[Job]) -> None:
    """Check that nobody works on an item.

    Raises:
        ConfigError: names the job, or says that a script holds the folder.
    """
    for job in jobs:
        if job.has_ended:
            continue
        values = [value for key, value in values_of(job.arguments).items() if key in NAMING[kind]]
        if any(value.rstrip("/") == name or f"/{name}/" in f"/{value.rstrip('/')}/" for value in values):
            raise ConfigError(Line("error.item_used", name=name, job=job.title, state=Line(f"state.{job.state}")))
    lock = folder / LOCK
    try:
        with lock.open("r+", encoding="utf-8") as stream:
            is_free = try_lock(stream)
    except OSError:  # nobody has ever locked it, or a file system without locks
        is_free = True
    if not is_free:
        raise ConfigError(Line("error.item_locked", name=name))


def move_to_bin(root: Path, kind: Kind, name: str) -> Binned:
    """Move a folder to the bin of its root.

    Raises:
        DataError: if it cannot be moved; then it is where it was.
    """
    now = time.time()
    binned = Binned(f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}-{secrets.token_hex(3)}", kind, name, now)
    place = root / BIN / binned.id
    with one_line_for_files():
        try:
            atomic_write_json(place / RECORD, {"name": name, "deleted": now})
            (root / name).replace(place / CONTENT)
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise
    return binned


def binned_items(root: Path, kind: Kind) -> list[Binned]:
    """Return what is in the bin of a root; what cannot be read is left out."""
    found = []
    for record in root.glob(f"{BIN}/*/{RECORD}"):
        with suppress(*UNREADABLE):
            content = read_json(record)
            if (record.parent / CONTENT).is_dir():
                found.append(Binned(record.parent.name, kind, str(content["name"]), float(content["deleted"])))
    return found


def take_back(root: Path, binned: Binned) -> None:
    """Move a folder from the bin to where it was.

    Raises:
        ConfigError: if there is another one now, or it is no longer in the bin.
    """
    if binned not in binned_items(root, binned.kind):
        raise ConfigError(Line("error.bin_gone", name=binned.name))
    target = root / binned.name
    if target.exists():
        raise ConfigError(Line("error.bin_taken", name=binned.name))
    place = root / BIN / binned.id
    with one_line_for_files():
        target.parent.mkdir(parents=True, exist_ok=True)
        (place / CONTENT).replace(target)
    shutil.rmtree(place, ignore_errors=True)


def empty(root: Path) -> int:
    """Remove what is in the bin of a root, and return how many items that were."""
    places = [record.parent for record in root.glob(f"{BIN}/*/{RECORD}")]
    shutil.rmtree(root / BIN, ignore_errors=True)
    return len(places)
