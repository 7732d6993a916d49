"""Save the newest state of a run and the best one."""

import math
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
from pytorch_lightning.callbacks import Checkpoint

from models.adversarial import AdversarialTraining
from utils.training.checkpoint_files import BEST, LAST, PREVIOUS, copy_checkpoint, remove_partial
from utils.training.criterion import CRITERION, is_best


class BestAndLastCheckpoint(Checkpoint):
    """Keep three states of a run: the newest, the one before it, and the latest with as low a criterion as any.

    A state is saved after the validation of its step, never before it: a run that resumes from it has missed none.

    Args:
        folder: where the checkpoints lie.
        save_every: updates between two saves; each validation saves too.
        resumed_from: the checkpoint that the run continues.
        best_from_step: the first state from this update on replaces any earlier best one, see criterion.best_from_step.

    Attributes:
        is_chosen_elsewhere: whether somebody else decides from now on which state is best.
    """

    def __init__(
        self, folder: Path, *, save_every: int, resumed_from: Path | None = None, best_from_step: int = 0
    ) -> None:
        self.folder = folder
        self.save_every = save_every
        self.resumed_from = resumed_from
        self.best_from_step = best_from_step
        self.lowest = float("inf")
        self.best_step = 0
        self.saved_step = -1
        self.is_chosen_elsewhere = False

    @property
    def state_key(self) -> str:
        """Name of this callback's state in a checkpoint: the one that runs from before version 0.2 have."""
        return "RunKeeper"

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Note where the run begins, and complete or remove the files that a killed process left."""
        self.saved_step = _module(pl_module).steps
        if not trainer.is_global_zero:
            return
        remove_partial(self.folder)
        is_best = self.best_step == self.saved_step > 0 and not self.is_chosen_elsewhere
        if is_best and self.resumed_from is not None:
            copy_checkpoint(self.resumed_from, self.folder / f"{BEST}.ckpt")
        if self.resumed_from == self.folder / f"{PREVIOUS}.ckpt":
            # last.ckpt is damaged or unwanted: it must not replace previous.ckpt at the next save
            copy_checkpoint(self.resumed_from, self.folder / f"{LAST}.ckpt")

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: Any) -> None:
        """Save every `save_every` updates, unless a validation follows at once, which saves anyway."""
        step = _module(pl_module).steps
        if step % self.save_every == 0 and not validation_follows(trainer, step):
            self.save(trainer, step)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Save the state, and as the best one too if it is."""
        if trainer.sanity_checking:
            return
        step, value = _module(pl_module).steps, float(trainer.callback_metrics[CRITERION])
        replaces_all = math.isfinite(value) and self.best_step < self.best_from_step <= step
        becomes_best = replaces_all or is_best(value, self.lowest)
        if becomes_best:
            self.lowest, self.best_step = value if replaces_all else min(value, self.lowest), step
        self.save(trainer, step)
        if becomes_best and trainer.is_global_zero and not self.is_chosen_elsewhere:
            copy_checkpoint(self.folder / f"{LAST}.ckpt", self.folder / f"{BEST}.ckpt")

    def save(self, trainer: lightning.Trainer, step: int) -> None:
        """Write the newest state unless it is on disk already; all processes call this together."""
        if step != self.saved_step:
            self.saved_step = step
            trainer.save_checkpoint(self.folder / f"{LAST}.ckpt")

    def state_dict(self) -> dict[str, Any]:
        """Return the lowest criterion and the step of the best state."""
        return {"best_value": self.lowest, "best_step": self.best_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore both, unless the criterion is NaN, which versions before 0.2 could note."""
        if not math.isnan(float(state_dict["best_value"])):
            self.lowest, self.best_step = float(state_dict["best_value"]), int(state_dict["best_step"])


def validation_follows(trainer: lightning.Trainer, step: int) -> bool:
    """Return whether Lightning validates after this update."""
    return trainer.should_stop or step % int(trainer.val_check_batch or 1) == 0


def _module(module: lightning.LightningModule) -> AdversarialTraining:
    assert isinstance(module, AdversarialTraining)
    return module
