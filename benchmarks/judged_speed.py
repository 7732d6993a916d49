"""How much slower a training is while its states are judged (evaluation=background).

    python -m benchmarks.judged_speed dataset.name=alice pretrained=builtin

Trains as train.py does. The process that judges is halted and let go on again every few updates, so that other load of
the machine hits both alike: seconds of an update with it against those without it beside them. To that comes what the
training itself does for it: keeping states, taking figures and sounds.
"""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytorch_lightning as lightning
from pytorch_lightning.callbacks import Callback

from benchmarks.bars import Bar, all_reached, show_bars
from benchmarks.options import BenchmarkParser, write_figures
from benchmarks.training_speed_worker import timed
from utils.command_line import run_program, whole_number
from utils.config.train import train_job
from utils.console import emit, table
from utils.training.callbacks.evaluating import BackgroundEvaluation
from utils.training.checks import open_dataset
from utils.training.fit import fit, prepare_run

WINDOW = 4  # updates between two changes
MOST_SLOWER = 0.05
RESAMPLES = 4000
SHORT = ["trainer.report=false", "trainer.media=false", "trainer.progress_bar=false", "overtraining=off"]


class Turns(Callback):
    """Halts the other process in every second window of updates, and notes how long each window took.

    Args:
        judge: whose process it is.

    Attributes:
        pairs: (seconds with it, seconds without it) of neighbouring windows in which it was there.
    """

    def __init__(self, judge: BackgroundEvaluation) -> None:
        self.judge = judge
        self.pairs: list[tuple[float, float]] = []
        self._updates = 0
        self._windows: list[tuple[bool, float]] = []
        self._started: float | None = None
        self._was_there = False
        self._is_halted = False

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Begin anew behind the validation."""
        self._restart()

    def on_train_batch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: Any) -> None:
        """Begin a window."""
        if self._started is None:
            self._started, self._updates, self._was_there = time.perf_counter(), 0, self._is_there()

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: Any) -> None:
        """End a window, and let the other process take its turn or halt it."""
        self._updates += 1
        if self._started is None or self._updates < WINDOW:
            return
        if self._was_there and self._is_there():
            self._windows.append((self._is_halted, time.perf_counter() - self._started))
        else:
            self._windows = []
        if len(self._windows) == 2:
            self.pairs.append(tuple(seconds for _, seconds in sorted(self._windows)))  # type: ignore[arg-type]
            self._windows = self._windows[1:]  # also with the one that follows
        self._halt(not self._is_halted)
        self._started = None

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Let it finish."""
        self._restart()

    def _restart(self) -> None:
        self._halt(False)
        self._started, self._windows = None, []

    def _is_there(self) -> bool:
        return self.judge.process_id is not None

    def _halt(self, is_halted: bool) -> None:
        self._is_halted = is_halted
        if self.judge.process_id is not None:
            psutil.Process(self.judge.process_id).send_signal(signal.SIGSTOP if is_halted else signal.SIGCONT)


def measure(options: argparse.Namespace) -> int:
    """Train, and print what the other process cost."""
    with tempfile.TemporaryDirectory(prefix="judged-") as root:
        lengths = [f"trainer.steps={options.steps}", f"trainer.validate_every={options.every}"]
        paths = [f"run.root={root}", "run.name=judged", "evaluation=background"]
        job = train_job([*SHORT, *lengths, *paths, *options.train])
        run = prepare_run(job, open_dataset(job), Path(root) / "judged", None)
        callbacks: list[Callback] = run.trainer.callbacks  # type: ignore[attr-defined]
        judge = next(item for item in callbacks if isinstance(item, BackgroundEvaluation))
        own: list[float] = []
        for name in ("on_train_batch_end", "on_validation_end"):
            setattr(judge, name, timed(getattr(judge, name), own))
        turns = Turns(judge)
        callbacks.insert(0, turns)
        started = time.perf_counter()
        fit(run)
        seconds = time.perf_counter() - started
        states = len(judge.folder.states())
    slower, interval = slowdown(turns.pairs)
    share = sum(own) / seconds
    rows: list[list[object]] = [
        ["pairs of windows", len(turns.pairs)],
        ["states judged", states],
        ["slower while a state is judged", f"{slower:+.1%} (95 %: {interval[0]:+.1%} to {interval[1]:+.1%})"],
        ["of the training's time in its own part", f"{share:.2%}"],
    ]
    emit(table(rows, ["what", "measured"]))
    write_figures(options, "judged_speed", {"pairs": turns.pairs, "slower": slower, "share": share})
    bars = [Bar("slower, all in all", slower + share, MOST_SLOWER, at_least=False)]
    show_bars(bars)
    return 0 if all_reached(bars) else 1


def slowdown(pairs: Sequence[tuple[float, float]]) -> tuple[float, tuple[float, float]]:
    """Return the share by which windows with the other process are longer, as a ratio of medians, and its interval.

    Args:
        pairs: (seconds with it, seconds without it).
    """
    if not pairs:
        return float("nan"), (float("nan"), float("nan"))
    values = np.array(pairs)
    chosen = np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))
    ratios = np.median(values[chosen], axis=1)
    low, high = np.percentile(ratios[:, 0] / ratios[:, 1] - 1, [2.5, 97.5])
    middle = np.median(values, axis=0)
    return float(middle[0] / middle[1] - 1), (float(low), float(high))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = BenchmarkParser("judged_speed", __doc__)
    parser.add_argument("--steps", type=whole_number, default=400, help="updates (default: 400)")
    parser.add_argument("--every", type=whole_number, default=50, help="updates between validations (default: 50)")
    parser.add_json()
    parser.add_train_overrides("dataset.name=alice pretrained=builtin")
    options = parser.parse_args(arguments)
    return run_program("judged_speed", lambda: measure(options))


if __name__ == "__main__":
    sys.exit(main())
