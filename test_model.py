"""Try an exported voice: python test_model.py onnx=<voice>.onnx audio=<recording or folder>  (see --help).

Or prove that a graph does what its hosts need: python test_model.py verify=<voice>.onnx
Or measure how good any voice is: python test_model.py evaluate=<voice> sources=<folder> target=<folder>
"""

from utils.config import run_script
from utils.config.test_model import ConvertJob, EvaluateJob, VerifyJob, VoiceTrial


def main(job: VoiceTrial) -> None:
    """Convert recordings, evaluate a voice, or apply every rule to a graph and exit with 1 when one does not hold."""
    from utils.console import emit

    if isinstance(job, EvaluateJob):
        from utils.evaluation.voice_report import evaluation_text, run_evaluation

        emit(evaluation_text(run_evaluation(job, emit)))
    elif isinstance(job, VerifyJob):
        from utils.verification.report import run_verification, verification_text

        report = run_verification(job)
        emit(verification_text(report))
        if not report["passed"]:
            raise SystemExit(1)
    elif isinstance(job, ConvertJob):
        from utils.inference.report import require_converted, trial_text
        from utils.inference.trial import run_trial

        report = run_trial(job, emit)
        emit(trial_text(report))
        require_converted(report)


if __name__ == "__main__":
    run_script(VoiceTrial, main)
