"""Files from the browser: one folder, names that stay in it, a bound for each and for all of them together."""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from studio.texts import Line
from utils.config.names import check_folder_name
from utils.errors import ConfigError, DataError, one_line_for_files
from utils.files import files_below

AUDIO = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".aac", ".aif", ".aiff", ".webm", ".mp4", ".caf", ".w64")
VOICES = (".pth", ".pt", ".safetensors", ".index", ".onnx", ".zip")
MAX_FILE_BYTES = 2 * 2**30
MAX_TOTAL_BYTES = 20 * 2**30
KEPT_FREE_BYTES = 1 * 2**30  # room for what runs meanwhile: a training that saves needs it more
CHUNK = 1 << 20


def plain_name(name: str, allowed: Iterable[str] = AUDIO + VOICES) -> str:
    """Return the last part of a file name that a browser gave, whatever system it comes from.

    Args:
        name: may hold folders of either kind of slash; they are left out.
        allowed: endings, with their dot.
    Raises:
        ConfigError: if nothing is left that can be the name of a file, or the ending is none of those allowed.
    """
    last = name.replace("\\", "/").rpartition("/")[2]
    check_folder_name(last, "file")
    if "${" in last:  # a script would read it as the value of another key, or of a variable of this machine
        raise ConfigError(Line("error.upload_variable", file=last))
    endings = tuple(allowed)
    if Path(last).suffix.lower() not in endings:
        raise ConfigError(Line("error.upload_kind", file=last, kinds=" ".join(endings)))
    return last


def inside(folder: Path, name: str) -> Path:
    """Return the path of something in a folder, which may have folders in between.

    Raises:
        ConfigError: if the name, or a link on the way, leads out of the folder.
    """
    check_folder_name(name, "name", below=True)
    root = Path(os.path.realpath(folder))
    found = Path(os.path.realpath(root / name))
    if found == root or not found.is_relative_to(root):
        raise ConfigError(Line("error.leads_out", name=name, folder=folder))
    return found


class UploadFolder:
    """The one folder that files from the browser are written to.

    Args:
        folder: made when missing.
        max_file_bytes: of one file.
        max_total_bytes: of all that lie there.
    """

    def __init__(
        self, folder: Path, *, max_file_bytes: int = MAX_FILE_BYTES, max_total_bytes: int = MAX_TOTAL_BYTES
    ) -> None:
        self.folder = folder.absolute()
        self.max_file_bytes = max_file_bytes
        self.max_total_bytes = max_total_bytes

    def save(self, name: str, chunks: Iterable[bytes], allowed: Iterable[str] = AUDIO + VOICES) -> Path:
        """Write a file and return its path; one of the same name gets a number.

        Args:
            name: as the browser gave it.
            chunks: the file in pieces, so that it never lies in memory as a whole.
            allowed: endings that are taken.
        Raises:
            ConfigError: if the name cannot be that of a file here.
            DataError: if the file, all files together or the disk is too full for it; nothing of it is left.
        """
        last = plain_name(name, allowed)
        limit = self._limit()
        with one_line_for_files():
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, partial = tempfile.mkstemp(dir=self.folder, prefix=".upload-")
            try:
                with os.fdopen(handle, "wb") as stream:
                    written = 0
                    for chunk in chunks:
                        written += len(chunk)
                        if written > limit:
                            raise DataError(Line("error.upload_large", file=last, size=f"{limit / 1e6:.0f}"))
                        stream.write(chunk)
                return self._place(Path(partial), last)
            finally:
                Path(partial).unlink(missing_ok=True)

    def adopt(self, path: Path, name: str, allowed: Iterable[str] = AUDIO + VOICES) -> Path:
        """Take over a file that a web framework has written, which must lie below the folder, and return its path.

        Raises:
            ConfigError: if it lies elsewhere.
            DataError: as save().
        """
        real = Path(os.path.realpath(path))
        if not real.is_relative_to(os.path.realpath(self.folder)) or not real.is_file():
            raise ConfigError(Line("error.upload_foreign", file=path))
        with real.open("rb") as stream:
            saved = self.save(name, iter(lambda: stream.read(CHUNK), b""), allowed)
        real.unlink(missing_ok=True)
        return saved

    def remove_older(self, seconds: float) -> int:
        """Remove files that were not changed for so long, and return how many."""
        old = [path for path in self._files() if path.stat().st_mtime < time.time() - seconds]
        for path in old:
            path.unlink(missing_ok=True)
        return len(old)

    def _files(self) -> list[Path]:
        return [path for path in files_below(self.folder) if path.is_file() and not path.is_symlink()]

    def _limit(self) -> int:
        """Return what one more file may have."""
        existing = next(place for place in (self.folder, *self.folder.parents) if place.exists())
        left = self.max_total_bytes - sum(path.stat().st_size for path in self._files())
        return max(0, min(self.max_file_bytes, left, shutil.disk_usage(existing).free - KEPT_FREE_BYTES))

    def _place(self, partial: Path, last: str) -> Path:
        """Give a complete file its name without replacing any."""
        for number in range(1, 10_000):
            target = self.folder / (last if number == 1 else f"{Path(last).stem} ({number}){Path(last).suffix}")
            with contextlib.suppress(FileExistsError):
                target.touch(exist_ok=False)
                partial.replace(target)
                return target
        raise DataError(Line("error.upload_names", file=last))
