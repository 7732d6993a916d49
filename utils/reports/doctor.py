"""What the doctor of a dataset found, for its section of the page. The file is <dataset>/doctor.json."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FILE = "doctor.json"
WORDS = {"good": "good", "warn": "look at it", "bad": "repair it"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: what, for example "clipping".
        verdict: "good", "warn" or "bad"; what is unknown counts as "warn".
        detail: what was found, in words with the figure and its limit.
        remedy: what to do; empty where nothing is.
        files: recordings that it is about, below the dataset's source.
    """

    name: str
    verdict: str
    detail: str = ""
    remedy: str = ""
    files: tuple[str, ...] = ()

    @property
    def word(self) -> str:
        """The verdict in words."""
        return WORDS[self.verdict]


@dataclass(frozen=True)
class Diagnosis:
    """What the doctor says of a dataset.

    Attributes:
        plan: enough, thin or not enough, and what follows, in words.
        findings: in the order of the file.
    """

    plan: str = ""
    findings: tuple[Finding, ...] = field(default=())


def read_diagnosis(dataset: Path) -> Diagnosis | None:
    """Return what doctor.json says; None where there is none, or none that can be read.

    The file holds {"plan": text, "findings": [{"name", "verdict", "detail", "remedy", "files"}]}; all but `name` and
    `verdict` may be absent.
    """
    try:
        content = json.loads((dataset / FILE).read_text(encoding="utf-8"))
        findings = tuple(_finding(row) for row in content.get("findings", []))
        return Diagnosis(str(content.get("plan", "")), findings)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _finding(row: dict[str, Any]) -> Finding:
    verdict = row["verdict"] if row["verdict"] in WORDS else "warn"
    files = tuple(str(name) for name in row.get("files", ()))
    return Finding(str(row["name"]), verdict, str(row.get("detail", "")), str(row.get("remedy", "")), files)
