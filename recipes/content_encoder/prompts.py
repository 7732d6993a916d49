"""Turn a folder of short telephone prompts (headerless G.722) into pieces of about ten seconds.

    python -m recipes.content_encoder.prompts FOLDER OUTPUT

A prompt of one second is too short to learn context from, so neighbours in the alphabet are joined.
"""

import argparse
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from utils.audio.decoding import open_audio
from utils.audio.frames import FEATURE_RATE
from utils.audio.io import save_audio
from utils.command_line import first_line, run_program
from utils.errors import DataError

BYTES_PER_SECOND = 8000  # G.722 at 64 kbit/s
PIECE_SECONDS = 9.0
GAP_SECONDS = 0.15
log = logging.getLogger(__name__)


def find_prompts(folder: Path) -> list[Path]:
    """List the .g722 files below a folder once each, although symbolic links may name them several times.

    Raises:
        DataError: if there are none.
    """
    found: dict[Path, Path] = {}
    for path in sorted(folder.rglob("*.g722")):
        found.setdefault(path.resolve(), path)
    if not found:
        raise DataError(f"no .g722 files in {folder}; install for example asterisk-core-sounds-es-g722")
    return list(found.values())


def group_prompts(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Gather prompts in order until a group is longer than nine seconds; the last group may be shorter."""
    group: list[Path] = []
    size = 0
    for path in paths:
        group.append(path)
        size += path.stat().st_size
        if size > PIECE_SECONDS * BYTES_PER_SECOND:
            yield group
            group, size = [], 0
    if group:
        yield group


def decode(path: Path) -> np.ndarray:
    """Return a prompt as float32 [T] at 16 kHz, followed by a short silence; nothing, and a warning, of an empty file.

    Raises:
        DataError: if ffmpeg cannot read it.
    """
    if not path.stat().st_size:
        log.warning("left out: %s is empty", path)
        return np.zeros(0, np.float32)
    with open_audio(path, headerless="g722") as decoder:
        sound = [block[:, 0] for block in decoder.blocks()]
    if decoder.problem or decoder.sample_rate != FEATURE_RATE:
        raise DataError(f"{path}: {decoder.problem or f'{decoder.sample_rate} Hz, expected {FEATURE_RATE}'}")
    return np.concatenate([*sound, np.zeros(round(GAP_SECONDS * FEATURE_RATE), np.float32)])


def join_prompts(folder: Path, output: Path) -> None:
    """Write the pieces of all prompts of a folder, 16 kHz WAV."""
    prompts = find_prompts(folder)
    groups = list(group_prompts(prompts))
    for index, group in enumerate(groups):
        piece = np.concatenate([decode(path) for path in group])
        save_audio(output / f"{index:04d}.wav", piece, FEATURE_RATE)
    log.info("%d prompts joined to %d pieces -> %s", len(prompts), len(groups), output)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m recipes.content_encoder.prompts", description=first_line(__doc__))
    parser.add_argument("folder", type=Path, help="folder with .g722 files, also in folders below")
    parser.add_argument("output", type=Path, help="folder for the pieces, 16 kHz WAV")
    options = parser.parse_args(arguments)
    return run_program("prompts", lambda: join_prompts(options.folder, options.output))


if __name__ == "__main__":
    sys.exit(main())
