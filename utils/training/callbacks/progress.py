"""One line that says how far a run is: redrawn in a terminal, a new one now and then in a file."""

import shutil
import sys
import time
from typing import Any, TextIO

import pytorch_lightning as lightning
from pytorch_lightning.callbacks import Callback, Timer

from models.adversarial import AdversarialTraining
from utils.training.criterion import CRITERION

MEL = "train/generator/spectral"
REDRAW_SECONDS = 0.5
LINE_SECONDS = 30.0
BAR_WIDTH = 24
RATE_SECONDS = 60.0  # the rate shown is that of about so many last seconds


class ProgressLine(Callback):
    """Shows step, losses, rate and the time left on standard error.

    Args:
        total_steps: generator updates of the whole run.
        stream: where to write; standard error unless told otherwise.
    """

    def __init__(self, *, total_steps: int, stream: TextIO | None = None) -> None:
        self.total_steps = total_steps
        self.stream = stream or sys.stderr
        self.is_terminal = self.stream.isatty()
        self._is_silent = False
        self._shown = 0.0
        self._width = 0
        self._marks: list[tuple[float, int]] = []
        self._pause: float | None = None

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Begin to measure; of several processes one prints."""
        self._is_silent = not trainer.is_global_zero
        self._marks = [(time.perf_counter(), _steps(pl_module))]
        self._shown = time.perf_counter()

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: Any) -> None:
        """Show the line when it is time to."""
        now = time.perf_counter()
        if now - self._shown >= (REDRAW_SECONDS if self.is_terminal else LINE_SECONDS):
            self._shown = now
            self._write(self.describe(trainer, pl_module))

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Stop the watch: the rate is that of training."""
        self._pause = time.perf_counter()

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Show the line with the new criterion."""
        if self._pause is not None:
            passed = time.perf_counter() - self._pause
            self._marks = [(moment + passed, steps) for moment, steps in self._marks]
            self._pause = None
        if not trainer.sanity_checking and self._marks:
            self._shown = time.perf_counter()
            self._write(self.describe(trainer, pl_module))

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Show the last state and go to the next line."""
        if self.is_terminal and not self._is_silent:
            self._write(self.describe(trainer, pl_module))
            self.stream.write("\n")
            self.stream.flush()
        self._width = 0

    def clear(self) -> None:
        """Erase the line, so that a message can take its place."""
        if self.is_terminal and self._width:
            self.stream.write("\r" + " " * self._width + "\r")
            self.stream.flush()

    def describe(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> str:
        """Return the line: step of all, bar, training and held-out mel, steps a second, time left."""
        step = _steps(module)
        share = min(1.0, step / self.total_steps)
        filled = round(share * BAR_WIDTH)
        parts = [f"step {step}/{self.total_steps}"]
        parts += ["[" + "#" * filled + "." * (BAR_WIDTH - filled) + "]"] if self.is_terminal else []
        values = trainer.callback_metrics
        for label, key in (("mel", MEL), (CRITERION, CRITERION)):
            parts += [f"{label} {float(values[key]):.4f}"] if key in values else []
        rate = self._rate(step)
        parts += [f"{rate:.3g} steps/s", f"{self._left(trainer, step, rate)} left"] if rate else []
        return "  ".join(parts)

    def _rate(self, step: int) -> float:
        now = time.perf_counter()
        if self._marks and step > self._marks[-1][1]:
            self._marks.append((now, step))
        while len(self._marks) > 2 and now - self._marks[1][0] > RATE_SECONDS:
            self._marks.pop(0)
        moment, before = self._marks[0]
        latest, done = self._marks[-1]
        return (done - before) / (latest - moment) if done > before else 0.0

    def _left(self, trainer: lightning.Trainer, step: int, rate: float) -> str:
        seconds = max(0.0, (self.total_steps - step) / rate)
        timers = [callback for callback in trainer.callbacks if isinstance(callback, Timer)]  # type: ignore[attr-defined]
        limits = [timer.time_remaining() for timer in timers]
        return clock_time(min([seconds, *[max(0.0, limit) for limit in limits if limit is not None]]))

    def _write(self, text: str) -> None:
        if self._is_silent:
            return
        if self.is_terminal:
            text = text[: shutil.get_terminal_size().columns - 1]
            self.stream.write("\r" + text.ljust(self._width))
            self._width = len(text)
        else:
            self.stream.write(text + "\n")
        self.stream.flush()


def clock_time(seconds: float) -> str:
    """Return 0:07, 12:30, 3:05:00 or "2 d 3:05:00"."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if not hours:
        return f"{minute}:{second:02d}"
    clock = f"{hour}:{minute:02d}:{second:02d}"
    return f"{days} d {clock}" if days else clock


def clear_progress(trainer: lightning.Trainer) -> None:
    """Erase the progress line of a trainer, if it has one, before a message is printed."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, ProgressLine):
            callback.clear()


def _steps(module: lightning.LightningModule) -> int:
    assert isinstance(module, AdversarialTraining)
    return module.steps
