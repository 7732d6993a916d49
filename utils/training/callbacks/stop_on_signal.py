"""End a run when it is asked to by a signal, with its state saved."""

import signal
from types import FrameType
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Checkpoint

from models.adversarial import AdversarialTraining
from models.updating import reduce_over_devices, world_size
from utils.errors import StoppedBySignalError
from utils.training.callbacks.checkpointing import BestAndLastCheckpoint, validation_follows
from utils.training.signals import heard_signals


class StopOnSignal(Checkpoint):
    """On a signal that asks for it, or Ctrl-C, finish the update, save and end; a second Ctrl-C ends at once.

    Lightning calls a Checkpoint after all other callbacks, and this one after `checkpointing`, which is given before
    it: so the state of every callback is saved as it is after the update or the validation, the best state too.

    Args:
        checkpointing: saves the state.
    """

    def __init__(self, checkpointing: BestAndLastCheckpoint) -> None:
        self.checkpointing = checkpointing
        self.received = 0
        self.earlier: dict[int, Any] = {}

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Replace the handlers of Lightning, which would save elsewhere and requeue the job by itself."""
        self.earlier = {number: signal.signal(number, self._receive) for number in heard_signals()}

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: Any) -> None:
        """Save and end, unless a validation follows at once: then after it."""
        assert isinstance(pl_module, AdversarialTraining)
        if self._is_asked(pl_module) and not validation_follows(trainer, pl_module.steps):
            self._stop(trainer, pl_module.steps)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Save and end after a validation, unless the run ends anyway."""
        assert isinstance(pl_module, AdversarialTraining)
        if self._is_asked(pl_module) and not trainer.should_stop:
            self._stop(trainer, pl_module.steps)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Restore the earlier handlers."""
        self._restore()

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Restore the earlier handlers."""
        self._restore()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.received == number:
            raise KeyboardInterrupt
        self.received = number

    def _is_asked(self, module: AdversarialTraining) -> bool:
        """Return whether any of the processes has received a signal; the same answer in all of them."""
        if world_size() > 1:
            largest = torch.distributed.ReduceOp.MAX
            self.received = int(reduce_over_devices(torch.tensor(self.received, device=module.device), largest))
        return self.received != 0

    def _stop(self, trainer: lightning.Trainer, step: int) -> None:
        self.checkpointing.save(trainer, step)
        name = signal.Signals(self.received).name
        raise StoppedBySignalError(f"{name} received; state of update {step} saved; continue with resume=last")

    def _restore(self) -> None:
        for number, handler in self.earlier.items():
            signal.signal(number, handler)
        self.earlier = {}
