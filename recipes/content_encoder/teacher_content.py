"""The teacher's features as content of a voice, to learn what the student loses; they cannot be exported.

    python -m recipes.content_encoder.teacher_content --recordings FOLDER --output statistics.safetensors
    python preprocess.py dataset.source=FOLDER dataset.name=taught '~content.weights' '~content.look_ahead' \
        content._target_=recipes.content_encoder.teacher_content.TeacherContent \
        +content.statistics=statistics.safetensors
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from recipes.content_encoder.teacher import (
    MIN_SECONDS,
    TEACHER_VERSION,
    MoonshineEncoder,
    align,
    moonshine_weights,
    set_level,
)
from utils.audio.frames import FEATURE_HOP, FEATURE_RATE
from utils.audio.io import load_audio
from utils.audio.listing import list_audio, spread
from utils.command_line import first_line, run_program
from utils.errors import ConfigError, DataError, FormatError
from utils.features.content.base import ContentEncoder, normalize_content
from utils.files import atomic_write_bytes, sha256_of_file

MAX_RECORDINGS = 100
log = logging.getLogger(__name__)


class TeacherContent(ContentEncoder):
    """The encoder that the built-in one learned from, at 100 frames a second.

    The features are interpolated to the centres of our frames, each component is brought to zero mean and unit variance
    (else one of the 288 has two fifths of all variance), and each vector to the length sqrt(D) of our contents.

    Args:
        statistics: file of `write_statistics`.
    Raises:
        ConfigError: if the file is absent.
        FormatError: if it is no file of statistics.
        DataError: if the teacher's package is not installed.
    """

    is_exportable = False

    def __init__(self, *, statistics: str) -> None:
        super().__init__()
        self.teacher = MoonshineEncoder()
        self.mean, self.deviation = read_statistics(Path(statistics).expanduser())
        self.weights_sha256 = sha256_of_file(moonshine_weights())
        self.statistics_sha256 = sha256_of_file(Path(statistics).expanduser())
        self.dim = len(self.mean)
        self.eval()

    @property
    def identity(self) -> dict[str, Any]:
        """Plain data that names the teacher's version, the hashes of its weights and of the statistics, and D."""
        return {
            "id": "moonshine", "version": TEACHER_VERSION, "weights_sha256": self.weights_sha256,
            "statistics_sha256": self.statistics_sha256, "dim": self.dim,
        }  # fmt: skip

    def forward(self, audio: Tensor) -> Tensor:
        """Return features [B, F, D] of audio [B, F * 160] at 16 kHz."""
        rows = [torch.from_numpy(teacher_features(self.teacher, row)) for row in audio.detach().cpu().numpy()]
        return normalize_content((torch.stack(rows) - self.mean) / self.deviation).to(audio.device)


def teacher_features(teacher: MoonshineEncoder, audio: np.ndarray) -> np.ndarray:
    """Return what the teacher makes of 16 kHz audio [F * 160] at its own level: [F, D] float32, 100 frames a second."""
    short = max(0, round(MIN_SECONDS * FEATURE_RATE) - len(audio))
    raw = teacher.encode(np.pad(set_level(audio), (0, short)))
    return align(raw, len(audio) // FEATURE_HOP, FEATURE_HOP).astype(np.float32)


def write_statistics(recordings: Sequence[Path], path: Path) -> None:
    """Store mean and standard deviation [D] of the teacher's features over recordings."""
    teacher = MoonshineEncoder()
    features = [teacher_features(teacher, load_audio(item, FEATURE_RATE)) for item in recordings]
    frames = torch.from_numpy(np.concatenate(features)).double()
    deviation = frames.std(dim=0, correction=0)
    if not len(frames) or not (deviation > 0).all():
        raise DataError(f"the {len(recordings)} recordings hold {len(frames)} frames without any change; give speech")
    tensors = {"mean": frames.mean(dim=0).float(), "deviation": deviation.float()}
    atomic_write_bytes(path, save(tensors))


def read_statistics(path: Path) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation, [D] each.

    Raises:
        ConfigError: if the file is absent.
        FormatError: if it was not written by write_statistics.
    """
    if not path.is_file():
        raise ConfigError(
            f"content.statistics={path} is not a file; make it: python -m recipes.content_encoder.teacher_content"
        )
    try:
        tensors = load_file(str(path))
        return tensors["mean"], tensors["deviation"]
    except (SafetensorError, KeyError) as error:
        raise FormatError(
            f"content.statistics={path} was not written by recipes.content_encoder.teacher_content"
        ) from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m recipes.content_encoder.teacher_content", description=first_line(__doc__)
    )
    parser.add_argument("--recordings", type=Path, required=True, help=f"speech; at most {MAX_RECORDINGS} files of it")
    parser.add_argument("--output", type=Path, required=True, help="file to write")
    options = parser.parse_args(arguments)
    return run_program("teacher_content", lambda: make_statistics(options.recordings, options.output))


def make_statistics(folder: Path, output: Path) -> None:
    """Write the statistics over the recordings of a folder."""
    recordings = spread(list_audio(folder), MAX_RECORDINGS)
    write_statistics(recordings, output)
    log.info("%d recordings -> %s", len(recordings), output)


if __name__ == "__main__":
    sys.exit(main())
