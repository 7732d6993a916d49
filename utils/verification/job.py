"""Verify an exported graph alone: the job of `test_model.py verify=<file>` and its report."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnxruntime
from omegaconf import DictConfig

from utils.config import to_plain
from utils.console import utf8_text
from utils.errors import ConfigError
from utils.files import atomic_write_json, check_new_file, sha256_of_file
from utils.inference.settings import check_settings
from utils.verification.candidate import Candidate, Extent
from utils.verification.suite import check_file

REPORT_SCHEMA_VERSION = 1
FOLDER = Path("verified")
NO_PARITY = "equality with PyTorch was not tried: a file alone has no PyTorch side; export_onnx.py tries it"


@dataclass(frozen=True, kw_only=True)
class VerifyJob:
    """One verification; configs/test_model.yaml says what each value means."""

    onnx: Path
    report: Path
    extent: Extent


def verify_job(config: DictConfig, given: Collection[str] = ()) -> VerifyJob:
    """Build the typed job of configs/test_model.yaml with `verify` given.

    Args:
        config: the script's configuration.
        given: keys that somebody typed; those that have no effect are refused.
    Raises:
        ConfigError: if a recording or another graph is given too, the report cannot be written at its place, or a value
            is of a wrong kind, out of range or without effect.
    """
    plain = to_plain(config)
    check_settings(plain, given)
    path = Path(str(plain["verify"])).expanduser()
    if plain["onnx"] or plain["audio"]["path"]:
        raise ConfigError("verify= tries a graph on its own signals; leave onnx= and audio= out, or verify= out")
    report = Path(str(plain["report"])).expanduser() if plain["report"] else FOLDER / f"{path.stem}.json"
    check_new_file(report, "report", [path])
    extent = Extent(minutes=float(plain["verify_minutes"]), num_blocks=int(plain["verify_blocks"]))
    return VerifyJob(onnx=path, report=report, extent=extent)


def run_verification(job: VerifyJob) -> dict[str, Any]:
    """Apply every rule and write the report.

    Returns:
        The content of the report: "file", "sha256", "passed", "checks", "notes", ...
    Raises:
        ConfigError: if there is no such file.
        FormatError: if it is no voice.
    """
    verdict = check_file(Candidate(path=job.onnx, extent=job.extent))
    checks = verdict.checks
    report: dict[str, Any] = {
        "schema_version": REPORT_SCHEMA_VERSION,
        "file": utf8_text(str(job.onnx)),
        "sha256": sha256_of_file(job.onnx),
        "onnxruntime": onnxruntime.__version__,
        "passed": all(check.passed for check in checks),
        "checks": [{**asdict(check), "outcome": check.outcome} for check in checks],
        "kind": verdict.kind,
        "notes": [f"tried by the rules of {verdict.rules}", NO_PARITY],
    }
    atomic_write_json(job.report, report)
    return report
