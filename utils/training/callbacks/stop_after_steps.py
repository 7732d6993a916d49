"""End a run after its updates."""

from typing import Any

import pytorch_lightning as lightning
from pytorch_lightning.callbacks import Callback

from models.adversarial import AdversarialTraining


class StopAfterSteps(Callback):
    """End the run after a number of generator updates.

    Args:
        steps: generator updates of the whole run, also over resumptions.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """End a resumed run at once if it is complete."""
        self.on_train_batch_end(trainer, pl_module)

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: Any) -> None:
        """Ask Lightning to stop once the number is reached."""
        assert isinstance(pl_module, AdversarialTraining)
        if pl_module.steps >= self.steps:
            trainer.should_stop = True
