"""Lightning callbacks: the end after so many steps, the payload of checkpoints, the history of validation."""

import time
from typing import Any

import pytorch_lightning as lightning
from pytorch_lightning.callbacks import Callback

from models.adversarial import AdversarialTraining
from utils.training.checkpoints import PAYLOAD_KEY, SCHEMA_VERSION


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


class RunPayload(Callback):
    """Put what is needed to read a checkpoint back into it, as plain data under one key.

    Args:
        config_yaml: the resolved configuration.
        dataset: dataset.json of the training data.
    """

    def __init__(self, config_yaml: str, dataset: dict[str, Any]) -> None:
        self.config_yaml = config_yaml
        self.dataset = dataset

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the payload."""
        metrics = {key: float(value) for key, value in trainer.callback_metrics.items() if key.startswith("val/")}
        checkpoint[PAYLOAD_KEY] = {
            "schema_version": SCHEMA_VERSION,
            "config": self.config_yaml,
            "dataset": self.dataset,
            "metrics": metrics,
        }


class HistoryRecorder(Callback):
    """Keep the validation figure of each round: step, seconds of training in all, val/mel."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self.started = time.monotonic()

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Append one row."""
        assert isinstance(pl_module, AdversarialTraining)
        value = trainer.callback_metrics.get("val/mel")
        if value is not None and not trainer.sanity_checking:
            seconds = round(time.monotonic() - self.started, 1)
            self.rows.append({"step": pl_module.steps, "seconds": seconds, "val/mel": float(value)})

    def state_dict(self) -> dict[str, Any]:
        """Return the rows for the checkpoint."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the rows of an earlier part of the run."""
        self.rows = list(state_dict["rows"])
        if self.rows:
            self.started = time.monotonic() - self.rows[-1]["seconds"]
