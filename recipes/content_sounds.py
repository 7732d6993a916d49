"""Make the list of sounds of speech by which the doctor tells how varied recordings are.

    python -m recipes.content_sounds --corpus <folder of many speakers> --output content_sounds.safetensors

Content vectors of `content=builtin` in loud frames, of one recording of each of some speakers, are clustered; the
centres of the clusters are the sounds.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from recipes.corpora import every_nth, speaker_of
from utils.audio.io import load_audio
from utils.audio.listing import list_audio
from utils.command_line import first_line
from utils.console import emit
from utils.doctor.coverage import ENCODER, SOUNDS
from utils.features.clustering import spherical_kmeans
from utils.features.content.base import normalize_content
from utils.features.content.builtin import BuiltinContent
from utils.files import atomic_write_bytes

RATE, HOP = 16000, 160
NUM_SOUNDS, NUM_ROUNDS, NUM_SPEAKERS = 128, 30, 40
LOUD_DB = 25.0  # below the loudest frame of a recording


def loud_content(encoder: BuiltinContent, path: Path) -> np.ndarray:
    """Return the content vectors [F, D] of the loud frames of a recording."""
    audio = load_audio(path, RATE)
    audio = audio[: len(audio) // HOP * HOP]
    level_db = 10 * np.log10(np.square(audio.reshape(-1, HOP)).mean(axis=1) + 1e-10)
    content = encoder.encode(audio)
    is_loud: np.ndarray = level_db[: len(content)] > level_db.max() - LOUD_DB
    return content[is_loud]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m recipes.content_sounds", description=first_line(__doc__))
    parser.add_argument("--corpus", type=Path, required=True, help="recordings of many speakers")
    parser.add_argument("--output", type=Path, required=True, help="file of the sounds")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    encoder = BuiltinContent()
    by_speaker: dict[str, Path] = {}
    for path in list_audio(options.corpus):
        by_speaker.setdefault(speaker_of(path, options.corpus), path)
    chosen = [by_speaker[name] for name in every_nth(by_speaker, min(NUM_SPEAKERS, len(by_speaker)))]
    vectors = normalize_content(torch.from_numpy(np.concatenate([loud_content(encoder, path) for path in chosen])))
    generator = torch.Generator().manual_seed(0)
    centres = spherical_kmeans(
        vectors, NUM_SOUNDS, generator=generator, num_rounds=NUM_ROUNDS, normalize=normalize_content
    )
    atomic_write_bytes(options.output, save({SOUNDS: centres.half()}, metadata={ENCODER: encoder.sha256}))
    emit(f"{NUM_SOUNDS} sounds of {len(vectors)} frames of {len(chosen)} speakers -> {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
