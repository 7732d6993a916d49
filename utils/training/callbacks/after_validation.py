"""Tell somebody outside of the training that a validation is over."""

from collections.abc import Callable
from pathlib import Path

import pytorch_lightning as lightning
from pytorch_lightning.callbacks import Callback


class AfterValidation(Callback):
    """Calls a function after each validation, on the first process.

    Args:
        listener: is given the folder of the run; it must return at once.
        run: that folder.
    """

    def __init__(self, listener: Callable[[Path], None], run: Path) -> None:
        self.listener, self.run = listener, run

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Call the listener."""
        if trainer.is_global_zero and not trainer.sanity_checking:
            self.listener(self.run)
