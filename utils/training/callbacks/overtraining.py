"""Stop a run that is overtrained, or warn of it."""

from typing import Any

import pytorch_lightning as lightning
from pytorch_lightning.callbacks import Callback

from models.adversarial import AdversarialTraining
from utils.console import emit
from utils.training.callbacks.progress import clear_progress
from utils.training.criterion import CRITERION
from utils.training.overtraining import OvertrainingDetector, OvertrainingRule


class OvertrainingWatch(Callback):
    """Stops a run that is overtrained, or only warns.

    Args:
        rule: what counts.
        mode: "stop" or "warn".
    """

    def __init__(self, rule: OvertrainingRule, mode: str) -> None:
        self.detector = OvertrainingDetector(rule)
        self.mode = mode
        self._is_said = False

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """End a resumed run at once if it ended for this reason."""
        verdict = self.detector.verdict
        if verdict is not None and self.mode == "stop":
            _say(trainer, f"overtraining: nothing to do, {verdict.describe()}; overtraining=warn goes on all the same")
            trainer.should_stop = True

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Decide by the newest value."""
        assert isinstance(pl_module, AdversarialTraining)
        value = trainer.callback_metrics.get(CRITERION)
        if value is None or trainer.sanity_checking:
            return
        verdict = self.detector.update(pl_module.steps, float(value))
        if verdict is None:
            self._is_said = False
        elif not self._is_said:
            action = "stopping" if self.mode == "stop" else "going on (overtraining=warn)"
            _say(trainer, f"overtraining: {verdict.describe()}; {action}, checkpoints/best.ckpt keeps the best")
            self._is_said = True
        if verdict is not None and self.mode == "stop":
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """Return the detector's values for the checkpoint."""
        return self.detector.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the values of an earlier part of the run."""
        detector = OvertrainingDetector(self.detector.rule)  # a new one: a copy of this callback may only be tried
        detector.load_state_dict(state_dict)
        self.detector = detector
        self._is_said = self.detector.verdict is not None


def _say(trainer: lightning.Trainer, text: str) -> None:
    if trainer.is_global_zero:
        clear_progress(trainer)
        emit(text)
