"""The page of a run while it trains: made by another process of the lowest priority, which nothing waits for."""

import logging
import time
from pathlib import Path

from utils.background import BackgroundProgram
from utils.config.report import ReportJob

LAST_SECONDS = 30.0  # that the end of a training waits for a page in the making
log = logging.getLogger(__name__)


class BackgroundReport:
    """Call it after each validation; call `finish` at the end.

    One page is made at a time: a validation that comes while the last page is still being made is shown by the next.
    What goes wrong with a page is a warning, never the end of a training.
    """

    def __init__(self) -> None:
        self._program = BackgroundProgram("utils.reports")
        self._run: Path | None = None

    def __call__(self, run: Path) -> None:
        """Begin to make the page of a run, unless that is still going on."""
        self._run = run
        if self._program.is_running:
            return
        self._tell_problem()
        try:
            self._program.start(str(run.absolute()))
        except OSError as error:
            log.warning("no page of %s: %s", run, error)

    def finish(self) -> None:
        """Make the page of the finished run; nothing where no validation has been."""
        if self._run is None:
            return
        self._program.wait_for(LAST_SECONDS)
        self._program.stop()
        self._tell_problem()
        started = time.monotonic()
        page_of_run(self._run)
        log.debug("page of %s in %.1f s", self._run, time.monotonic() - started)

    def _tell_problem(self) -> None:
        problem = self._program.problem()
        if problem is not None:
            log.warning("no page of %s: %s", self._run, problem)


def page_of_run(run: Path) -> bool:
    """Make the page of a run; what goes wrong is a warning. Returns whether it was made."""
    from utils.reports.report import write_report

    try:
        write_report(ReportJob(run=run))
    except Exception as error:  # noqa: BLE001 - a page must not end a training
        log.warning("no page of %s: %s: %s", run, type(error).__name__, error)
        return False
    return True
