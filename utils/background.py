"""A program of ours that runs beside a training, out of its way: another process of the lowest priority."""

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[1]
# one thread: several would take turns with those of the training; no GPU: its memory is the training's
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


class BackgroundProgram:
    """Starts `python -m <module> <arguments>`, one at a time, and tells what went wrong.

    Args:
        module: what to run; it calls give_way first.
    """

    def __init__(self, module: str) -> None:
        self.module = module
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Whether one has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def process_id(self) -> int | None:
        """Number of the running process; None where none runs."""
        return self._process.pid if self._process is not None and self.is_running else None

    def start(self, *arguments: str) -> None:
        """Start it; the last one must have ended.

        Raises:
            OSError: if the system refuses.
        """
        paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - a pipe that nobody reads would block it
        self._process = subprocess.Popen(
            [sys.executable, "-m", self.module, *arguments],
            env={**os.environ, **ENVIRONMENT, "PYTHONPATH": paths},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            # a group of its own: what stops the training need not leave half of its work. No session of its own: Linux
            # weighs sessions alike (autogroup), and the lowest priority would count within its own alone
            process_group=0,
        )

    def wait_for(self, seconds: float) -> None:
        """Wait until it has ended, at most so long."""
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)

    def stop(self) -> None:
        """End it at once; that it was ended is no problem of its own."""
        if self.is_running and self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._errors is not None:
                self._errors.close()
            self._process = self._errors = None

    def problem(self) -> str | None:
        """Return why the last one failed, in a line and once; None where it did not, or still runs."""
        process, errors = self._process, self._errors
        if process is None or errors is None or process.poll() is None:
            return None
        self._process = self._errors = None
        with errors:
            errors.seek(0)
            lines = errors.read().decode("utf-8", "replace").strip().splitlines()
        return (lines[-1] if lines else f"exit {process.returncode}") if process.returncode else None


def give_way() -> None:
    """Give this process the lowest priority that the system has: it runs where nobody else wants to."""
    with contextlib.suppress(OSError, AttributeError, ValueError):
        if sys.platform == "linux":
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        elif sys.platform == "win32":
            import psutil

            psutil.Process().nice(psutil.IDLE_PRIORITY_CLASS)
        else:
            os.nice(19)
