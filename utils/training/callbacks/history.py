"""Record the criterion of each validation."""

import time
from typing import Any

import pytorch_lightning as lightning
from pytorch_lightning.callbacks import Callback

from models.adversarial import AdversarialTraining


class HistoryRecorder(Callback):
    """Keep step, seconds of training in all and val/mel of each validation.

    Attributes:
        rows: one for each validation.
        since: figures up to this step do not compare with later ones, since what is held out has changed.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self.since = -1
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
        return {"rows": self.rows, "since": self.since}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the rows of an earlier part of the run."""
        self.rows = list(state_dict["rows"])
        self.since = int(state_dict.get("since", -1))
        if self.rows:
            self.started = time.monotonic() - self.rows[-1]["seconds"]
