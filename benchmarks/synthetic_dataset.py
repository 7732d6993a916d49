"""Datasets of noise, which are loaded as those of recordings are."""

from pathlib import Path

import numpy as np

from utils.config import AudioConfig
from utils.config.train import train_job
from utils.corpus.description import DATASET_FILE, DatasetDescription, FeatureDescription, SpeakerDescription
from utils.corpus.manifest import Clip, manifest_text
from utils.corpus.signed_json import signed
from utils.corpus.stored_array import append_checksums
from utils.files import atomic_write_json, atomic_write_text

SPEAKERS = 243
CONTENT_DIM = 256
CONTENT_NAMES = ("content", "content_perturbed_0", "content_perturbed_1")


def write_store(
    folder: Path, minutes: float, *, is_sparse: bool = False, has_checksums: bool = True, seed: int = 0
) -> Path:
    """Write a dataset of noise with clips of 1 to 12 s and return its folder.

    Args:
        folder: to make.
        minutes: of audio.
        is_sparse: leave holes in the files instead of noise: zeros that take no room on the disk; without checksums.
        has_checksums: whether arrays that are not sparse have checksums.
        seed: of lengths and noise.
    """
    config = train_job([])
    audio = config.audio
    rng = np.random.default_rng(seed)
    total = round(minutes * 6000)
    clips: list[Clip] = []
    offset = 0
    while offset < total:
        frames = int(rng.integers(100, 1200))
        clips.append(_clip(len(clips), offset, frames))
        offset += frames
    shapes: dict[str, tuple[tuple[int, ...], str]] = {
        "waveform": ((offset * audio.hop_length,), "int16"),
        "f0_hz": ((offset,), "float32"),
        "loudness_db": ((offset,), "float32"),
        **dict.fromkeys(CONTENT_NAMES, ((offset, CONTENT_DIM), "float16")),
    }
    for name, (shape, dtype) in shapes.items():
        (folder / "arrays").mkdir(parents=True, exist_ok=True)
        path = folder / "arrays" / f"{name}.npy"
        target = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
        if not is_sparse:
            for first in range(0, len(target), 1 << 16):
                part = target[first : first + (1 << 16)]
                part[...] = _noise(name, part.shape, rng)
        target.flush()
        if has_checksums and not is_sparse:
            append_checksums(path)
    atomic_write_text(folder / "manifest.jsonl", manifest_text(clips))
    files = {name: f"arrays/{name}.npy" for name in shapes} | {"manifest": "manifest.jsonl"}
    atomic_write_json(folder / DATASET_FILE, signed(_description(audio, files).to_plain()))
    return folder


def _clip(index: int, offset: int, frames: int) -> Clip:
    return Clip(
        id=f"{index:06d}",
        source=f"{index:06d}.wav",
        start_seconds=0.0,
        duration_seconds=frames / 100,
        num_frames=frames,
        frame_offset=offset,
        speaker=f"{index % SPEAKERS:03d}",
        split="val" if index % 20 == 19 else "train",
        checksum=f"{index:064d}",
    )


def _noise(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    noise = rng.standard_normal(shape, dtype=np.float32)
    scale = {"waveform": (0, 2000), "f0_hz": (150, 10), "loudness_db": (-30, 5)}.get(name, (0, 1))
    return scale[0] + scale[1] * noise


def _description(audio: AudioConfig, files: dict[str, str]) -> DatasetDescription:
    names = ("f0_hz", "loudness_db", *CONTENT_NAMES)
    return DatasetDescription(
        name="benchmark",
        audio=audio,
        speakers=tuple(SpeakerDescription(name=f"{index:03d}") for index in range(SPEAKERS)),
        features={name: FeatureDescription(dim=CONTENT_DIM if "content" in name else None) for name in names},
        files=files,
    )
