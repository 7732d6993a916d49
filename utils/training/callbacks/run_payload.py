"""Put into each checkpoint what is needed to read it and to resume from it."""

import math
from typing import Any

import pytorch_lightning as lightning
from pytorch_lightning.callbacks import Callback

from models.adversarial import AdversarialTraining
from utils.config.train import TrainJob
from utils.corpus.description import DatasetDescription
from utils.training.checkpoint_checks import PAYLOAD_KEY, SCHEMA_VERSION
from utils.training.codebook import CodebookRecord
from utils.training.random_states import gather_random_states, set_random_state
from utils.training.resuming import describe_run

RANDOM_KEY = "random_states"
# states of the callbacks that compare held-out figures with earlier ones
COMPARING = ("RunKeeper", "OvertrainingWatch", "RunMonitor")


class RunPayload(Callback):
    """Put what is needed to read and to continue a checkpoint into it, as plain data under one key.

    Args:
        job: the training.
        dataset: the training data.
        pretrained: the weights that a new run starts from, see pretrained_files; a resumed one keeps its own.

    Attributes:
        codebook: what tells the codebook of the run from others; None without one.
        held_out_changed: whether the held-out figures of the checkpoint do not compare with those to come, and go.
    """

    def __init__(
        self, job: TrainJob, dataset: DatasetDescription, pretrained: dict[str, dict[str, str]] | None = None
    ) -> None:
        self.config_yaml = job.to_yaml()
        self.decisive = describe_run(job, dataset)
        self.dataset = dataset
        self.pretrained = pretrained
        self.restored: dict[str, Any] | None = None
        self.codebook: CodebookRecord | None = None
        self.held_out_changed = False
        self._validated_step = -1

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the payload and remove Lightning's own counters, which follow from the number of updates.

        Figures that are not finite, or of an earlier state, are left out.
        """
        assert isinstance(pl_module, AdversarialTraining)
        metrics: dict[str, float] = {}
        if pl_module.steps == self._validated_step:
            figures = {key: float(value) for key, value in trainer.callback_metrics.items() if key.startswith("val/")}
            metrics = {key: value for key, value in figures.items() if math.isfinite(value)}
        checkpoint[PAYLOAD_KEY] = {
            "schema_version": SCHEMA_VERSION,
            "config": self.config_yaml,
            "decisive": self.decisive,
            "dataset": self.dataset.to_plain(),
            "metrics": metrics,
            "pretrained": self.pretrained,
            "codebook": self.codebook.to_plain() if self.codebook else None,
        }
        checkpoint[RANDOM_KEY] = gather_random_states()
        checkpoint.pop("loops", None)

    def on_load_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Take over the random states, to be set when the training begins, and what the run began with."""
        self.restored = checkpoint.get(RANDOM_KEY)
        self.pretrained = checkpoint[PAYLOAD_KEY].get("pretrained")
        if self.held_out_changed:
            states = {key: state for key, state in checkpoint["callbacks"].items() if key not in COMPARING}
            states.setdefault("HistoryRecorder", {"rows": []})["since"] = int(checkpoint["state_dict"]["steps_done"])
            checkpoint["callbacks"] = states

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Note the update that the held-out figures belong to."""
        assert isinstance(pl_module, AdversarialTraining)
        self._validated_step = pl_module.steps

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Restore the random states and count on from the updates done."""
        assert isinstance(pl_module, AdversarialTraining)
        done = trainer.fit_loop.epoch_loop.batch_progress.total
        for stage in ("ready", "started", "processed", "completed"):
            setattr(done, stage, pl_module.steps)
        if self.restored is not None and trainer.global_rank < len(self.restored["processes"]):
            set_random_state(self.restored["processes"][trainer.global_rank])
