"""Take a song apart by a program that the user names."""

import logging
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from utils.config.cover import Separator
from utils.covers.stereo import rate_of, read_stereo
from utils.errors import ConfigError, DataError

DOCUMENT = "docs/tutorials/cover.md"
log = logging.getLogger(__name__)


class Separated(NamedTuple):
    """The voice and the rest of a sound: [T, 2] each, and their rate."""

    vocals: np.ndarray
    rest: np.ndarray
    sample_rate: int


def separate(settings: Separator, song: Path, key: str) -> Separated:
    """Run a separator; what it prints to standard error is seen.

    Args:
        settings: its command, and which of its files is what.
        song: the sound that is taken apart.
        key: of the settings, for messages.
    Raises:
        ConfigError: if the program is not there.
        DataError: if it fails, or does not write one file of each.
    """
    with tempfile.TemporaryDirectory(prefix="separator_") as work:
        given = Path(work) / f"song{song.suffix}"  # its own name may hold what the files are found by
        shutil.copyfile(song, given)
        folder = Path(work) / "separated"
        folder.mkdir()
        paths = {"{song}": str(given), "{folder}": str(folder)}
        words = [_filled(word, paths) for word in shlex.split(settings.command or "")]
        if not words or shutil.which(words[0]) is None:
            raise ConfigError(f"{key}.command: {words[0] if words else ''} is not installed; {DOCUMENT} says how")
        log.info("%s: %s", key, shlex.join(words))
        done = subprocess.run(words, stdout=subprocess.DEVNULL, check=False)
        if done.returncode:
            raise DataError(f"{key}.command {words[0]} failed with code {done.returncode}; what it said stands above")
        found = [_only(folder, getattr(settings, part), f"{key}.{part}") for part in ("vocals", "rest")]
        rate = rate_of(found[0])
        return Separated(read_stereo(found[0], rate), read_stereo(found[1], rate), rate)


def _filled(word: str, paths: dict[str, str]) -> str:
    for mark, path in paths.items():
        word = word.replace(mark, path)
    return word


def _only(folder: Path, pattern: str, key: str) -> Path:
    """Return the one file of a pattern."""
    found = sorted(path for path in folder.glob(pattern) if path.is_file())
    if len(found) != 1:
        written = ", ".join(sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()))
        raise DataError(f"{key}={pattern} is {len(found)} of the files that were written: {written or 'none'}")
    return found[0]
