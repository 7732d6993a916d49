"""Save what was trained when a file of the dataset turns out to be damaged."""

import pytorch_lightning as lightning
from pytorch_lightning.callbacks import Checkpoint

from models.adversarial import AdversarialTraining
from models.updating import world_size
from utils.corpus.stored_array import DamagedFileError
from utils.training.callbacks.checkpointing import BestAndLastCheckpoint


class SaveOnDamage(Checkpoint):
    """Save the state after the last update when a batch cannot be loaded, so that nothing has to be trained again.

    Only in a run of one process: another one would wait for the batch of this one instead of saving with it. Not during
    a validation: a state is saved after the validation of its step.

    Args:
        checkpointing: saves the state.
    """

    def __init__(self, checkpointing: BestAndLastCheckpoint) -> None:
        self.checkpointing = checkpointing

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Save, and say so in the message of the error."""
        assert isinstance(pl_module, AdversarialTraining)
        if not isinstance(exception, DamagedFileError):
            return
        if trainer.training and world_size() == 1:
            self.checkpointing.save(trainer, pl_module.steps)
        step = self.checkpointing.saved_step
        if step > 0:  # Lightning raises this very error again: a new one would end it before it has tidied up
            exception.args = (f"{exception}; state of update {step} saved: continue with resume=last",)
