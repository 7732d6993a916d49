"""What the doctor of a dataset found, for its section of the page: <dataset>/doctor.json, which utils.doctor writes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.files import read_json

FILE = "doctor.json"
TONES = {"enough": "good", "thin": "warn", "not enough": "bad"}


@dataclass(frozen=True)
class Finding:
    """What one rule found.

    Attributes:
        rule: its name.
        tone: "warn", or "bad" where recordings had better be left out.
        word: the same in words.
        remedy: what to do.
        subjects: (recording or speaker, what was found there in words).
    """

    rule: str
    tone: str
    word: str
    remedy: str
    subjects: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Diagnosis:
    """What the doctor says of a dataset.

    Attributes:
        verdicts: (speaker, "good", "warn" or "bad", the verdict in words).
        plan: what to do, in lines.
        findings: one for each rule that found something.
        left_out: recordings that had better be left out.
        missing: what was not measured, and why, in lines.
    """

    verdicts: tuple[tuple[str, str, str], ...] = ()
    plan: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    left_out: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def read_diagnosis(dataset: Path) -> Diagnosis | None:
    """Return what doctor.json says; None where there is none, or none that can be read."""
    try:
        content = read_json(dataset / FILE)
        return Diagnosis(
            verdicts=tuple(
                (str(name), TONES.get(word, "warn"), str(word)) for name, word in content["verdicts"].items()
            ),
            plan=_texts(content["plan"]),
            findings=_by_rule(content["findings"]),
            left_out=_texts(content["leave_out"]),
            missing=_texts(content["missing"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _by_rule(rows: list[dict[str, Any]]) -> tuple[Finding, ...]:
    found = []
    for rule in dict.fromkeys(str(row["rule"]) for row in rows):
        own = [row for row in rows if row["rule"] == rule]
        is_bad = any(row["leave_out"] for row in own)
        tone, word = ("bad", "leave out") if is_bad else ("warn", "look at it")
        subjects = tuple((str(row["subject"]), str(row["words"])) for row in own)
        found.append(Finding(rule, tone, word, str(own[0]["remedy"]), subjects))
    return tuple(found)


def _texts(values: list[Any]) -> tuple[str, ...]:
    return tuple(str(value) for value in values)
