"""Checkpoint files: their names, and how they are written so that a killed process leaves only complete ones."""

import os
import shutil
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO

from utils.files import sync_to_disk, write_to

LAST, PREVIOUS, BEST = "last", "previous", "best"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write a checkpoint to a temporary file, wait until the disk has it, then rename it."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write one file; the old one stays until the new one is complete, and last.ckpt then becomes previous.ckpt."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = partial_path(target)
        try:
            with partial.open("wb") as stream:
                write_to(stream, lambda archive: torch.save(checkpoint, archive))
                stream.flush()
                os.fsync(stream.fileno())
            if target.stem == LAST and target.is_file():
                copy_checkpoint(target, target.with_stem(PREVIOUS))
            partial.replace(target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        sync_to_disk(target.parent)


def partial_path(target: Path) -> Path:
    """Return the name of a checkpoint while it is being written."""
    return target.with_name(f".{target.name}.partial")


def remove_partial(folder: Path) -> None:
    """Remove the files that killed processes have left half written."""
    for leftover in folder.glob(".*.partial"):
        leftover.unlink()


def copy_checkpoint(source: Path, target: Path) -> None:
    """Copy a file so that the target is either the old or the complete new one."""
    if source == target:
        return
    target.parent.mkdir(parents=True, exist_ok=True)  # a run that goes on from another one has none yet
    partial = partial_path(target)
    with source.open("rb") as old, partial.open("wb") as new:
        shutil.copyfileobj(old, new, 1 << 22)
        new.flush()
        os.fsync(new.fileno())
    partial.replace(target)
