"""The job of verifying one graph."""

from dataclasses import dataclass
from pathlib import Path

from utils.verification.candidate import Extent


@dataclass(frozen=True, kw_only=True)
class VerifyJob:
    """One verification; configs/test_model.yaml says what each value means."""

    onnx: Path
    report: Path
    extent: Extent
