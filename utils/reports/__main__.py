"""Make the page of a run out of the way of everything else: python -m utils.reports <run>

train.py starts this after validations; people type python report.py run=<run>.
"""

import sys
from pathlib import Path

from utils.background import give_way
from utils.config.report import ReportJob
from utils.console import tell_error
from utils.errors import WorkbenchError


def main(arguments: list[str]) -> int:
    """Make the page; returns the exit code."""
    give_way()
    from utils.reports.report import write_report

    try:
        write_report(ReportJob(run=Path(arguments[0])))
    except WorkbenchError as error:
        tell_error("error", error.lines)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
