"""Try an exported voice: python test_model.py onnx=<voice>.onnx audio=<recording or folder>  (see --help).

Or prove that a graph does what its hosts need: python test_model.py verify=<voice>.onnx
"""

from omegaconf import DictConfig

from utils.config import given_keys, run_script
from utils.config.arguments import spell_paths


def main(config: DictConfig) -> None:
    """Convert recordings, or verify a graph; print what was found and write it as JSON."""
    if config.verify is not None:
        verify(config)
    else:
        convert(config)


def verify(config: DictConfig) -> None:
    """Apply every rule to a graph; exit with 1 when one does not hold."""
    from utils.config.test_model import VerifyJob
    from utils.console import emit
    from utils.verification.report import run_verification, verification_text

    report = run_verification(VerifyJob.from_config(config, given_keys()))
    emit(verification_text(report))
    if not report["passed"]:
        raise SystemExit(1)


def convert(config: DictConfig) -> None:
    """Convert recordings with a graph."""
    from utils.config.test_model import ConvertJob
    from utils.console import emit
    from utils.errors import DataError
    from utils.inference.report import trial_text
    from utils.inference.trial import run_trial

    report = run_trial(ConvertJob.from_config(config, given_keys()), emit)
    emit(trial_text(report))
    if report["failures"]:
        names = ", ".join(str(failure["file"]) for failure in report["failures"])
        raise DataError(f"{len(report['failures'])} recording(s) could not be converted: {names}")


if __name__ == "__main__":
    # audio= alone would choose an option of the configuration group of that name
    paths = ("onnx", "audio", "audio.path", "output", "report", "verify")
    run_script("test_model", main, spell=lambda arguments: spell_paths(arguments, paths, {"audio": "audio.path"}))
