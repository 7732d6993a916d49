"""Recordings to convert: which are chosen, and each behind several lengths of silence."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from recipes.corpora import by_number, every_nth, speaker_of
from scripts.pipeline import empty_folder
from utils.audio.decoding import open_audio
from utils.audio.io import load_audio, save_audio
from utils.audio.listing import list_audio, spread
from utils.errors import DataError


def pick_recordings(files: Sequence[Path], seconds: float) -> list[Path]:
    """Choose recordings that last so long together, in an order of chance that is always the same.

    Raises:
        DataError: if all of them are shorter.
    """
    chosen: list[Path] = []
    total = 0.0
    for index in np.random.default_rng(0).permutation(len(files)):
        if total >= seconds:
            break
        chosen.append(files[index])
        total += soundfile.info(os.fsencode(files[index])).duration
    if total < seconds:
        raise DataError(f"there are only {total:.0f} s of recordings, {seconds:.0f} s are needed")
    return sorted(chosen)


def stage(files: Sequence[Path], folder: Path) -> Path:
    """Return a folder that holds links to recordings and nothing else."""
    empty_folder(folder)
    for path in files:
        (folder / path.name).symlink_to(path.resolve())
    return folder


def pick_sources(folder: Path, count: int) -> list[tuple[str, Path]]:
    """Choose clips of many speakers, always the same ones.

    With more speakers than clips, every n-th speaker (from the middle of the first n) gives the first clip; with fewer,
    each gives clips spread over what there is.

    Args:
        folder: recordings; the speaker is the sub-folder, else the part of the name before the first "-" or "_".
        count: how many clips.
    Returns:
        (speaker, path) in the order of the speakers.
    """
    by_speaker: dict[str, list[Path]] = {}
    for path in list_audio(folder):
        by_speaker.setdefault(speaker_of(path, folder), []).append(path)
    if len(by_speaker) >= count:
        return [(speaker, by_speaker[speaker][0]) for speaker in every_nth(by_speaker, count)]
    speakers = sorted(by_speaker, key=by_number)
    chosen = []
    for index, speaker in enumerate(speakers):
        share = count // len(speakers) + (index < count % len(speakers))
        chosen += [(speaker, path) for path in spread(by_speaker[speaker], share)]
    return chosen


def stage_sources(chosen: Sequence[tuple[str, Path]], folder: Path) -> list[Path]:
    """Link the chosen clips into an empty folder under names that cannot collide; returns the staged paths."""
    empty_folder(folder)
    staged = []
    for speaker, path in chosen:
        name = path.name if path.stem.startswith(speaker) else f"{speaker}_{path.name}"
        staged.append(folder / name)
        staged[-1].symlink_to(path.resolve())
    if len(set(staged)) != len(staged):
        raise DataError(f"two of the chosen sources have the same name; rename one of {[path.name for path in staged]}")
    return staged


def delay_sources(staged: Sequence[Path], folder: Path, delays_ms: Sequence[int]) -> list[Path]:
    """Write every clip once for each delay, behind so much silence: frames then begin elsewhere in its sounds.

    Returns:
        The files, 16-bit WAV at the clip's rate, `<name>_<delay>ms.wav`.
    """
    written = []
    for path in staged:
        with open_audio(path) as decoder:
            rate = decoder.sample_rate
        audio = load_audio(path, rate)
        for delay in delays_ms:
            written.append(folder / f"{path.stem}_{delay}ms.wav")
            save_audio(written[-1], np.pad(audio, (delay * rate // 1000, 0)), rate)
    return written


def prepare_sources(options: argparse.Namespace, work: Path) -> list[Path]:
    """Stage the sources that the command line names, behind its delays; returns the files of one folder."""
    staged = stage_sources(pick_sources(options.sources, options.source_count), work / "sources")
    return delay_sources(staged, empty_folder(work / "delayed"), options.delays)


def add_delays(parser: argparse.ArgumentParser, default: Sequence[int]) -> None:
    """Add --delays, behind how much silence each clip is converted and read."""
    parser.add_argument(
        "--delays",
        type=milliseconds,
        default=list(default),
        help="convert each clip once for each of these, behind so many ms of silence; all but the words is evaluated "
        f"behind the first alone (default: {','.join(map(str, default))})",
    )


def milliseconds(text: str) -> list[int]:
    """Read whole numbers with commas between them, for argparse."""
    delays = [int(part) for part in text.split(",")]
    if min(delays) < 0 or len(set(delays)) < len(delays):
        raise ValueError
    return delays
