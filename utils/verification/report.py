"""Verify an exported graph alone, and report what was found."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnxruntime

from utils.config.test_model import VerifyJob
from utils.console import table, utf8_text
from utils.files import atomic_write_json, check_new_file, sha256_of_file
from utils.verification.candidate import Candidate, Extent
from utils.verification.checks import Check
from utils.verification.rules import verify
from utils.voice_file.kinds import AUDIO_TO_AUDIO, STREAM
from utils.voice_file.rvc_formats import RVC_FORMATS

REPORT_SCHEMA_VERSION = 1
FOLDER = Path("verified")
VOICE_RULES, GENERATOR_RULES = "docs/reference/verification_rules.md", "docs/reference/generator_graphs.md"
RULES_OF = {AUDIO_TO_AUDIO: f"voclo ({VOICE_RULES})", STREAM: f"streams ({VOICE_RULES})"} | {
    name: f"{rvc_format.program} ({GENERATOR_RULES})" for name, rvc_format in RVC_FORMATS.items()
}
NO_PARITY = "equality with PyTorch was not tried: a file alone has no PyTorch side; export_onnx.py tries it"


def run_verification(job: VerifyJob) -> dict[str, Any]:
    """Apply every rule and write the report.

    Returns:
        The content of the report, and the place where it was written: "file", "passed", "checks", "report", ...
    Raises:
        ConfigError: if there is no such file, or the report cannot be written at its place.
        FormatError: if it is no voice.
    """
    path, place = job.graph, job.report or FOLDER / f"{job.graph.stem}.json"
    check_new_file(place, "report", [path])
    candidate = Candidate(path=path, extent=Extent(minutes=job.verify_minutes, num_blocks=job.verify_blocks))
    checks = verify(candidate)
    kind = candidate.kind if checks[1].passed else AUDIO_TO_AUDIO  # nobody knows of a file that cannot be loaded
    report: dict[str, Any] = {
        "schema_version": REPORT_SCHEMA_VERSION,
        "file": utf8_text(str(path)),
        "sha256": sha256_of_file(path),
        "onnxruntime": onnxruntime.__version__,
        "passed": all(check.passed for check in checks),
        "checks": [{**asdict(check), "outcome": check.outcome} for check in checks],
        "kind": kind,
        "notes": [f"tried by the rules of {RULES_OF[kind]}", NO_PARITY],
    }
    atomic_write_json(place, report)
    return {**report, "report": str(place)}


def verification_text(report: dict[str, Any]) -> str:
    """Return what a person is told of a verification: the rules with their outcomes, and whether all hold."""
    rows = [[check["outcome"], check["name"], _one_line(check["detail"])] for check in report["checks"]]
    return "\n".join([
        table(rows, ["", "rule", "detail"]),
        *report["notes"],
        f"report: {report['report']}",
        verdict_line(Path(report["file"]).name, report["checks"]),
    ])  # fmt: skip


def verdict_line(name: str, checks: Sequence[Mapping[str, Any]]) -> str:
    """Return in one line whether a file holds its rules; what failed, what was not judged, what to know."""
    tried = [check for check in checks if check["outcome"] != "SKIP"]
    failed = [check["name"] for check in tried if check["outcome"] == "FAIL"]
    unjudged = [check["name"] for check in tried if check["is_unjudged"]]
    warned = [check["name"] for check in tried if check["outcome"] == "WARN" and not check["is_unjudged"]]
    words = f"holds all {len(tried)} rules that were tried"
    if failed:
        words = f"BREAKS {len(failed)} of {len(tried)} rules: {', '.join(failed)}"
    words += f"; not judged, as the voice itself does not keep them: {', '.join(unjudged)}" * bool(unjudged)
    words += f"; with warnings: {', '.join(warned)}" * bool(warned)
    return _one_line(f"verdict: {name} {words}")


def _one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def checks_table(checks: Iterable[Check]) -> str:
    """Return rules with their outcomes and details as a table."""
    return table([[check.outcome, check.name, check.detail] for check in checks], ["", "rule", "detail"])
