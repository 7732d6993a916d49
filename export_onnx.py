"""Export a voice: python export_onnx.py run=runs/<run>  (python export_onnx.py --help explains the keys)."""

from utils.config import run_script
from utils.config.export import ExportJob


def main(job: ExportJob) -> None:
    """Export a run or a file, and print what was verified and written."""
    from utils.console import emit
    from utils.export import export
    from utils.export.report import export_text

    outcome = export(job)
    emit(export_text(outcome))
    outcome.require_success()


if __name__ == "__main__":
    run_script(ExportJob, main)
