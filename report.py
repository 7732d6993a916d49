"""Write report.html of a run, a dataset or an exported voice: python report.py run=runs/<run>  (see --help)."""

from utils.config import run_script
from utils.config.report import ReportJob


def main(job: ReportJob) -> None:
    """Write the page and say where it is and what its first line is."""
    from utils.console import emit
    from utils.reports.report import write_report

    written = write_report(job)
    emit(written.verdict)
    emit(f"page: {written.place} ({written.num_bytes / 1e6:.1f} MB, {written.seconds:.1f} s); open it in a browser")


if __name__ == "__main__":
    run_script(ReportJob, main)
