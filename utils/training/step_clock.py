"""How long each stage of a training loop takes."""

import time

from pytorch_lightning.profilers import Profiler

FETCH = "[_TrainingEpochLoop].train_dataloader_next"
BATCH = "run_training_batch"


class StepClock(Profiler):
    """Where the time of training goes, measured at the marks that Lightning sets around each stage of its loop.

    Attributes:
        fetching: seconds spent waiting for batches.
        computing: seconds inside training_step.
        paused: seconds in validation and what follows it, checkpoints and plots.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fetching = self.computing = self.paused = 0.0
        self._fetch_start = self._batch_start = 0.0
        self._pause_start: float | None = None

    def pause(self) -> None:
        """Do not count the time from now to the next batch."""
        self._pause_start = time.perf_counter()

    def start(self, action_name: str) -> None:
        """Note the beginning of a stage."""
        if action_name == FETCH:
            self._fetch_start = time.perf_counter()
            if self._pause_start is not None:
                self.paused += self._fetch_start - self._pause_start
                self._pause_start = None
        elif action_name == BATCH:
            self._batch_start = time.perf_counter()

    def stop(self, action_name: str) -> None:
        """Add up a stage that ends."""
        if action_name == FETCH:
            self.fetching += time.perf_counter() - self._fetch_start
        elif action_name == BATCH:
            self.computing += time.perf_counter() - self._batch_start
