"""Try an exported voice: python test_model.py onnx=<voice>.onnx audio=<recording or folder>  (see --help).

Or prove that a graph does what its hosts need: python test_model.py verify=<voice>.onnx
"""

from utils.config import run_script
from utils.config.test_model import ConvertJob, VerifyJob, VoiceTrial


def main(job: VoiceTrial) -> None:
    """Convert recordings, or verify a graph; print what was found and write it as JSON."""
    if isinstance(job, VerifyJob):
        verify(job)
    elif isinstance(job, ConvertJob):
        convert(job)


def verify(job: VerifyJob) -> None:
    """Apply every rule to a graph; exit with 1 when one does not hold."""
    from utils.console import emit
    from utils.verification.report import run_verification, verification_text

    report = run_verification(job)
    emit(verification_text(report))
    if not report["passed"]:
        raise SystemExit(1)


def convert(job: ConvertJob) -> None:
    """Convert recordings with a graph."""
    from utils.console import emit
    from utils.inference.report import require_converted, trial_text
    from utils.inference.trial import run_trial

    report = run_trial(job, emit)
    emit(trial_text(report))
    require_converted(report)


if __name__ == "__main__":
    run_script(VoiceTrial, main)
