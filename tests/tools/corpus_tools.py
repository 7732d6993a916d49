"""Small datasets for tests."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import soundfile

from utils.config import compose
from utils.corpus.settings import PreprocessJob, preprocess_job

RATE = 16000


def make_job(source: Path, folder: Path, *overrides: str) -> PreprocessJob:
    """Return a fast job (16 kHz, random content network, this process); overrides as on the command line."""
    names = ["dataset.source=source", "dataset.name=name", "preprocess.num_workers=0"]
    config = compose("preprocess", [*names, "audio=16k", "content=toy", *overrides])
    # not through the command line's grammar, which wants some characters of paths escaped
    return dataclasses.replace(preprocess_job(config), source=source, folder=folder)


def write_sounds(folder: Path, sounds: Mapping[str, np.ndarray], sample_rate: int = RATE) -> None:
    """Write sounds by file name (any format of libsndfile), making sub-folders."""
    for name, sound in sounds.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, sound, sample_rate)
