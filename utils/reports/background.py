"""The page of a run while it trains: made by another process of the lowest priority, which nothing waits for."""

import contextlib
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

from utils.config.report import ReportJob

ROOT = Path(__file__).resolve().parents[2]
LAST_SECONDS = 30.0  # that the end of a training waits for a page in the making
log = logging.getLogger(__name__)


class BackgroundReport:
    """Call it after each validation; call `finish` at the end.

    One page is made at a time: a validation that comes while the last page is still being made is shown by the next.
    What goes wrong with a page is a warning, never the end of a training.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._run: Path | None = None

    def __call__(self, run: Path) -> None:
        """Begin to make the page of a run, unless that is still going on."""
        self._run = run
        if self._process is not None and self._process.poll() is None:
            return
        self._tell_problem()
        command = [sys.executable, "-m", "utils.reports", str(run.absolute())]
        paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        # one thread: several would take turns with those of the training
        environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        try:
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,  # what stops the training need not leave half a page
            )
        except OSError as error:
            log.warning("no page of %s: %s", run, error)

    def finish(self) -> None:
        """Make the page of the finished run; nothing where no validation has been."""
        if self._run is None:
            return
        self._wait()
        started = time.monotonic()
        page_of_run(self._run)
        log.debug("page of %s in %.1f s", self._run, time.monotonic() - started)

    def _wait(self) -> None:
        if self._process is None:
            return
        try:
            self._process.wait(LAST_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._tell_problem()

    def _tell_problem(self) -> None:
        if self._process is None or self._process.stderr is None:
            return
        lines = self._process.stderr.read().strip().splitlines()
        self._process.stderr.close()
        if self._process.returncode:
            log.warning("no page of %s: %s", self._run, lines[-1] if lines else f"exit {self._process.returncode}")
        self._process = None


def page_of_run(run: Path) -> bool:
    """Make the page of a run; what goes wrong is a warning. Returns whether it was made."""
    from utils.reports.report import write_report

    try:
        write_report(ReportJob(run=run))
    except Exception as error:  # noqa: BLE001 - a page must not end a training
        log.warning("no page of %s: %s: %s", run, type(error).__name__, error)
        return False
    return True


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
