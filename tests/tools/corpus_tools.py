"""Small datasets for tests."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from utils.config import audio_config
from utils.config.preprocess import PreprocessJob, preprocess_job
from utils.corpus.description import DATASET_FILE, DatasetDescription, FeatureDescription, SpeakerDescription
from utils.corpus.signed_json import KEY

RATE = 16000


def make_job(source: Path, folder: Path, *overrides: str) -> PreprocessJob:
    """Return a fast job (16 kHz, random content network, this process); overrides as on the command line."""
    job = preprocess_job(["preprocess.num_workers=0", "audio=16k", "content=toy", *overrides])
    # not through the command line's grammar, which wants some characters of paths escaped
    places = {"source": source, "root": folder.parent, "name": folder.name}
    return job.with_values({f"dataset.{key}": str(value) for key, value in places.items()})


def write_sounds(folder: Path, sounds: Mapping[str, np.ndarray], sample_rate: int = RATE) -> None:
    """Write sounds by file name (any format of libsndfile), making sub-folders."""
    for name, sound in sounds.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, sound, sample_rate)


def described(
    *speakers: str, content: Mapping[str, Any], pitch: Mapping[str, Any] | None = None, content_dim: int | None = None
) -> DatasetDescription:
    """Return the description of a dataset with these speakers and identities of encoder and tracker."""
    audio = {"sample_rate": RATE, "hop_length": RATE // 100, "n_fft": 640, "n_mels": 80, "f_min": 0.0, "f_max": 8000.0}
    return DatasetDescription(
        name="described",
        audio=audio_config(audio),
        speakers=tuple(SpeakerDescription(name=name) for name in speakers),
        features={
            "content": FeatureDescription(identity=dict(content), dim=content_dim or int(content.get("dim", 1))),
            "f0_hz": FeatureDescription(identity=dict(pitch or {})),
        },
        files={"manifest": "manifest.jsonl"},
    )


def forget_checksums(folder: Path) -> None:
    """Make a dataset one of those that were written before files had checksums."""
    description = folder / DATASET_FILE
    plain = json.loads(description.read_text("utf-8"))
    description.write_text(json.dumps({key: plain[key] for key in plain if key not in ("checksums", KEY)}), "utf-8")
    for path in (folder / "arrays").iterdir():
        np.save(path, np.load(path))
