"""How a run ends: after its updates, or when somebody asks it to."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import Callback, Checkpoint

from models.adversarial import AdversarialTraining
from models.updating import reduce_over_devices, world_size
from utils.corpus.datamodule import STOP_SIGNALS
from utils.errors import StoppedBySignalError
from utils.training.callbacks.checkpointing import RunKeeper, validation_follows


@contextmanager
def leave_when_asked() -> Iterator[None]:
    """Before the first update and after the last one, let SIGTERM and SIGUSR1 end a run with the code of a stopped one.

    Without that a job that is pre-empted while it starts would end like one that failed, and not be queued again.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        raise StoppedBySignalError(
            f"{name} received outside of the updates; what was saved before is there; continue with resume=auto"
        )

    earlier = {number: signal.signal(number, leave) for number in STOP_SIGNALS if number != signal.SIGINT}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


class StopAfterSteps(Callback):
    """End the run after a number of generator updates.

    Args:
        steps: generator updates of the whole run, also over resumptions.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Do nothing more in a resumed run that is complete."""
        self.on_train_batch_end(trainer, pl_module)

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: Any) -> None:
        """Ask Lightning to stop once the number is reached."""
        assert isinstance(pl_module, AdversarialTraining)
        if pl_module.steps >= self.steps:
            trainer.should_stop = True


class StopOnSignal(Checkpoint):
    """On SIGTERM, SIGUSR1 or Ctrl-C finish the update, save and end; a second Ctrl-C ends at once.

    A Checkpoint to Lightning, given behind the keeper: so it comes after everything that an update or a validation has
    to note down, the best state too.

    Args:
        keeper: saves the state.
    """

    def __init__(self, keeper: RunKeeper) -> None:
        self.keeper = keeper
        self.received = 0
        self.earlier: dict[int, Any] = {}

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Take the signals over from Lightning, which saves at another place and requeues by itself."""
        self.earlier = {number: signal.signal(number, self._receive) for number in STOP_SIGNALS}

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
        """Give the signals back."""
        self._restore()

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Give the signals back."""
        self._restore()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.received == number:
            raise KeyboardInterrupt
        self.received = number

    def _is_asked(self, module: AdversarialTraining) -> bool:
        """Return whether any of the processes has received a signal; all of them agree."""
        if world_size() > 1:
            largest = torch.distributed.ReduceOp.MAX
            self.received = int(reduce_over_devices(torch.tensor(self.received, device=module.device), largest))
        return self.received != 0

    def _stop(self, trainer: lightning.Trainer, step: int) -> None:
        self.keeper.save(trainer, step)
        name = signal.Signals(self.received).name
        raise StoppedBySignalError(f"{name} received; state of update {step} saved; continue with resume=last")

    def _restore(self) -> None:
        for number, handler in self.earlier.items():
            signal.signal(number, handler)
        self.earlier = {}
