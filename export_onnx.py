"""Export a voice: python export_onnx.py run=runs/<run>  (python export_onnx.py --help explains the keys)."""

from utils.config import run_script
from utils.config.export import ExportJob


def main(job: ExportJob) -> None:
    """Export a run or a file, and print what was verified and written."""
    from utils.console import emit
    from utils.export.delivery import export_voice
    from utils.export.outcome import checks_text, files_text, require_passed
    from utils.export.plans import plan_export
    from utils.export.rvc.files import run_foreign

    if job.export.kind != "onnx":
        emit("\n".join(run_foreign(job)))
        return
    outcome = export_voice(plan_export(job))
    emit(checks_text(outcome))
    require_passed(outcome)
    emit(files_text(outcome))


if __name__ == "__main__":
    run_script(ExportJob, main)
