"""Have states of a run judged by another process while it trains, and show what that finds."""

import logging
import shutil
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as lightning
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.loggers import TensorBoardLogger

from models.adversarial import AdversarialTraining
from utils.audio.io import load_audio
from utils.background import BackgroundProgram
from utils.config.train import TrainJob
from utils.console import emit
from utils.errors import DataError
from utils.training.callbacks.checkpointing import BestAndLastCheckpoint
from utils.training.callbacks.progress import clear_progress
from utils.training.checkpoint_files import BEST, LAST
from utils.training.evaluation_folder import FIGURES, EvaluationFolder, HeardStranger, JudgedState, best_state
from utils.training.listening import HeardSound, ListeningFolder
from utils.training.loggers import log_everywhere

PROGRAM = "utils.run_evaluation"
PREFIX = "evaluation/"
POLL_SECONDS = 2.0
END_SECONDS = 600.0  # that the end of a training waits for the last states
TRIES = 2  # a state that fails twice is given up
log = logging.getLogger(__name__)


class BackgroundEvaluation(Checkpoint):
    """Gives states to utils.run_evaluation, and shows its figures and sounds in TensorBoard, metrics.csv and the page.

    The other process only reads a state and writes a folder: killed at any moment it loses nothing, since the state
    stays until its figures have been taken. One state is judged and at most one waits; a newer one takes its place.
    Lightning calls a Checkpoint after all other callbacks, and this one after `checkpointing`, which has then saved.

    Args:
        run: folder of the run.
        job: of the run.
        checkpointing: whose newest state is judged.
    """

    def __init__(self, run: Path, job: TrainJob, checkpointing: BestAndLastCheckpoint) -> None:
        self.folder, self.listening = EvaluationFolder(run), ListeningFolder(run)
        self.settings, self.sample_rate = job.evaluation, job.audio.sample_rate
        self.steps_between = job.trainer.validate_every * job.evaluation.every
        self.checkpointing = checkpointing
        self._program = BackgroundProgram(PROGRAM)
        self._polled = 0.0
        self._failures: dict[int, int] = {}
        self._has_told_missing = False

    @property
    def process_id(self) -> int | None:
        """Number of the process that judges; None where none runs."""
        return self._program.process_id

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Forget what lies beyond the step of the start, and go on with what an interrupted run has left."""
        if not trainer.is_global_zero:
            return
        self.folder.restart(_step(pl_module))
        if self.settings.selects and best_state(self.folder.states()) is not None:
            self.checkpointing.is_chosen_elsewhere = True
        self._poll(trainer)

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: Any) -> None:
        """Look now and then whether something was found."""
        if trainer.is_global_zero and time.monotonic() - self._polled >= POLL_SECONDS:
            self._poll(trainer)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Give the state that was just saved to be judged."""
        step = _step(pl_module)
        is_chosen = step % self.steps_between == 0 or trainer.should_stop
        if not trainer.is_global_zero or trainer.sanity_checking or not is_chosen or self._is_known(step):
            return
        for earlier in self.folder.waiting()[1:]:  # the first is being judged
            self._forget(earlier)
        self.folder.keep(step, self.checkpointing.folder / f"{LAST}.ckpt")
        self._poll(trainer)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Wait until the last states have been judged: nothing else wants the machine now."""
        if not trainer.is_global_zero:
            return
        end = time.monotonic() + END_SECONDS
        if self.folder.waiting():
            clear_progress(trainer)
            emit("evaluation: judging the last states; Ctrl-C leaves them out")
        while self.folder.waiting() and time.monotonic() < end:
            self._poll(trainer)
            self._program.wait_for(POLL_SECONDS)
        self._program.stop()
        self._poll(trainer, may_start=False)
        for step in self.folder.waiting():
            self._forget(step)

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """End the other process: a resumed run judges the state again."""
        self._program.stop()

    def _poll(self, trainer: lightning.Trainer, *, may_start: bool = True) -> None:
        self._polled = time.monotonic()
        for step in self.folder.found():
            state = JudgedState.read(self.folder.found_path(step) / FIGURES)
            if state is not None:
                self._take(trainer, state)
            self._forget(step)
            shutil.rmtree(self.folder.found_path(step), ignore_errors=True)
        if self._program.is_running:
            return
        self._tell_problem(trainer)
        if may_start and self.folder.waiting():
            try:
                self._program.start(str(self.folder.run.absolute()))
            except OSError as error:
                log.warning("no evaluation: %s", error)

    def _take(self, trainer: lightning.Trainer, state: JudgedState) -> None:
        if state.figures:
            log_everywhere(trainer, {f"{PREFIX}{key}": value for key, value in state.figures.items()}, state.step)
        for sound in state.sounds:
            try:
                self._hear(trainer, state.step, sound)
            except (OSError, DataError) as error:
                log.warning("a judged sound of step %d is left out: %s", state.step, error)
        self.folder.accept(state)
        best = best_state(self.folder.states())
        is_best = best is not None and best.step == state.step
        waiting = self.folder.waiting_path(state.step)
        if self.settings.selects and is_best and waiting.is_file():
            waiting.replace(self.checkpointing.folder / f"{BEST}.ckpt")
            self.checkpointing.is_chosen_elsewhere = True
        clear_progress(trainer)
        emit(described(state, is_best=is_best, selects=self.settings.selects))
        if state.missing and not self._has_told_missing:
            emit(f"evaluation: not installed: {', '.join(state.missing)}; type: {next(iter(state.missing.values()))}")
            self._has_told_missing = True

    def _hear(self, trainer: lightning.Trainer, step: int, sound: HeardStranger) -> None:
        """Keep a conversion for the page and TensorBoard; its source once."""
        folder, rate = self.folder.folder, self.sample_rate
        made = load_audio(folder / sound.converted, rate)
        is_new = all(clip.name != sound.name for clip in self.listening.clips())
        kept = [HeardSound("converted", step, made, rate)]
        kept += [HeardSound("source", None, load_audio(folder / sound.source, rate), rate)] if is_new else []
        self.listening.add(sound.name, sound.title, "stranger", kept, best_step=self.checkpointing.best_step)
        writers = [logger.experiment for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
        for writer in writers:
            if is_new:
                writer.add_audio(f"{sound.name}/source", kept[1].audio, step, rate)
            writer.add_audio(f"{sound.name}/converted", made, step, rate)

    def _tell_problem(self, trainer: lightning.Trainer) -> None:
        problem = self._program.problem()
        waiting = self.folder.waiting()
        if problem is None or not waiting:
            return
        failures = self._failures[waiting[0]] = self._failures.get(waiting[0], 0) + 1
        if failures >= TRIES:
            clear_progress(trainer)
            log.warning("the state of step %d is not judged: %s", waiting[0], problem)
            self._forget(waiting[0])

    def _forget(self, step: int) -> None:
        self.folder.waiting_path(step).unlink(missing_ok=True)

    def _is_known(self, step: int) -> bool:
        return any(state.step == step for state in self.folder.states())


def described(state: JudgedState, *, is_best: bool, selects: bool) -> str:
    """Return one line about a state that was judged."""
    shown = [f"{key.replace('_', ' ')} {value:.3f}" for key, value in list(state.figures.items())[:4]]
    best = ", the best so far" + (": best.ckpt" if selects else "") if is_best else ""
    return f"evaluation: step {state.step}: {', '.join(shown) or 'nothing could be measured'}{best}"


def _step(module: lightning.LightningModule) -> int:
    assert isinstance(module, AdversarialTraining)
    return module.steps
