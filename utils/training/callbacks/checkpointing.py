"""Checkpoints on disk: written whole or not at all, the newest, the one before it and the best."""

import logging
import math
import os
import shutil
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from pytorch_lightning.callbacks import Checkpoint

from models.adversarial import AdversarialTraining
from utils.files import write_to

LAST, PREVIOUS, BEST = "last", "previous", "best"
# Share by which a criterion may stand above the lowest and still count as equal to it, the noise of a real run. The
# later of equals is kept: similarity to the speaker still rises when the criterion rests (both: docs/training.md).
EQUAL_SHARE = 1e-3
CRITERION = "val/mel"
log = logging.getLogger(__name__)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write a checkpoint beside its place, see it on the disk, then move it there."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write one file; until it is complete the old one stays."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = partial_path(target)
        try:
            with partial.open("wb") as stream:
                write_to(stream, lambda archive: torch.save(checkpoint, archive))
                stream.flush()
                os.fsync(stream.fileno())
            if target.stem == LAST and target.is_file():
                _copy(target, target.with_stem(PREVIOUS))
            partial.replace(target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        _sync_folder(target.parent)


def is_best(value: float, lowest: float) -> bool:
    """Return whether a state with this criterion takes the place of all before it, whose lowest is given; NaN never."""
    return math.isfinite(value) and value <= lowest * (1 + EQUAL_SHARE)


class RunKeeper(Checkpoint):
    """Keep the newest state of a run, the one before it and the latest whose held-out criterion is as low as any.

    A state is saved after the validation of its step, never between: so a run that continues from it has missed none.

    Args:
        folder: where the checkpoints lie.
        save_every: updates between two saves; each validation saves too.
        resumed_from: the checkpoint that the run goes on from.
        first_judged: the update from which on a state replaces any earlier best one, see utils.training.assembly.
    """

    def __init__(
        self, folder: Path, *, save_every: int, resumed_from: Path | None = None, first_judged: int = 0
    ) -> None:
        self.folder = folder
        self.save_every = save_every
        self.resumed_from = resumed_from
        self.first_judged = first_judged
        self.lowest = float("inf")
        self.best_step = 0
        self.saved_step = -1

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Note where the run begins, and finish or remove what a killed run had only half written."""
        self.saved_step = _module(pl_module).steps
        if not trainer.is_global_zero:
            return
        for leftover in self.folder.glob(".*.partial"):
            leftover.unlink()
        if self.best_step == self.saved_step > 0 and self.resumed_from is not None:
            _copy(self.resumed_from, self.folder / f"{BEST}.ckpt")
        if self.resumed_from == self.folder / f"{PREVIOUS}.ckpt":
            # the newest state is damaged or unwanted: it must not push this one out at the next save
            _copy(self.resumed_from, self.folder / f"{LAST}.ckpt")

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: Any) -> None:
        """Save where it is time and no validation follows at once, which would save anyway."""
        step = _module(pl_module).steps
        if step % self.save_every == 0 and not validation_follows(trainer, step):
            self.save(trainer, step)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Save the state, and as the best one too if it is."""
        if trainer.sanity_checking:
            return
        step, value = _module(pl_module).steps, float(trainer.callback_metrics[CRITERION])
        is_first_judged = math.isfinite(value) and self.best_step < self.first_judged <= step
        kept = is_first_judged or is_best(value, self.lowest)
        if kept:
            self.lowest, self.best_step = value if is_first_judged else min(value, self.lowest), step
        self.save(trainer, step)
        if kept and trainer.is_global_zero:
            _copy(self.folder / f"{LAST}.ckpt", self.folder / f"{BEST}.ckpt")

    def save(self, trainer: lightning.Trainer, step: int) -> None:
        """Write the newest state unless it is on disk already; all devices call this together."""
        if step != self.saved_step:
            self.saved_step = step
            trainer.save_checkpoint(self.folder / f"{LAST}.ckpt")

    def state_dict(self) -> dict[str, Any]:
        """Return the lowest criterion and the step of the best state."""
        return {"best_value": self.lowest, "best_step": self.best_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back both; older versions could take a state without a figure for the best."""
        if not math.isnan(float(state_dict["best_value"])):
            self.lowest, self.best_step = float(state_dict["best_value"]), int(state_dict["best_step"])


def validation_follows(trainer: lightning.Trainer, step: int) -> bool:
    """Return whether Lightning validates after this update."""
    return trainer.should_stop or step % int(trainer.val_check_batch or 1) == 0


def partial_path(target: Path) -> Path:
    """Return the name of a checkpoint while it is being written."""
    return target.with_name(f".{target.name}.partial")


def _module(module: lightning.LightningModule) -> AdversarialTraining:
    assert isinstance(module, AdversarialTraining)
    return module


def _copy(source: Path, target: Path) -> None:
    """Copy a file so that the target is either the old or the complete new one."""
    if source == target:
        return
    partial = partial_path(target)
    with source.open("rb") as old, partial.open("wb") as new:
        shutil.copyfileobj(old, new, 1 << 22)
        new.flush()
        os.fsync(new.fileno())
    partial.replace(target)


def _sync_folder(folder: Path) -> None:
    """See a renamed file on the disk, where folders can be opened."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        log.debug("folder %s cannot be synchronised", folder)
    finally:
        os.close(handle)
