"""What the doctor says: findings, a verdict and a plan."""

import re
import shlex
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from utils.doctor.facts import F0_EDGES, FileFacts, VoiceFacts
from utils.doctor.rules import Finding, verdict_of

SCHEMA_VERSION = 1
TRAINING = {  # minutes from the base voice on two cores; benchmarks/results/voice_quality_*
    "enough": "train.py trainer.max_minutes=10, longer only while val/mel falls",
    "thin": "train.py trainer.max_minutes=5; more recordings help more than more training",
    "not enough": "record more first: two minutes at least, ten are good",
}
WIDE_HZ, NORMAL_HZ = 18000.0, 10500.0


@dataclass(frozen=True)
class Diagnosis:
    """What the doctor says of a dataset.

    Attributes:
        dataset: its name.
        rate: samples per second of the dataset.
        files: facts of every recording.
        voices: facts of every speaker.
        findings: what the rules found.
        missing: what was not measured, and why, in a line each.
    """

    dataset: str
    rate: int
    files: list[FileFacts]
    voices: list[VoiceFacts]
    findings: list[Finding]
    missing: list[str] = field(default_factory=list)

    @property
    def left_out(self) -> list[str]:
        """Recordings that had better be left out: not more than half of them."""
        worst = sorted({item.subject for item in self.findings if item.leave_out})
        return worst if len(worst) <= len(self.files) / 2 else []

    @property
    def plan(self) -> list[str]:
        """What to do, in a line each voice."""
        return [f"{voice.name}: {_plan(voice, self.rate)}" for voice in self.voices]

    def to_plain(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "schema_version": SCHEMA_VERSION,
            "dataset": self.dataset,
            "sample_rate": self.rate,
            "verdicts": {voice.name: verdict_of(voice) for voice in self.voices},
            "plan": self.plan,
            "findings": [item.to_plain() for item in self.findings],
            "leave_out": self.left_out,
            "f0_edges_hz": [round(float(edge), 2) for edge in F0_EDGES],
            "voices": [voice.to_plain() for voice in self.voices],
            "files": [file.to_plain() for file in self.files],
            "missing": self.missing,
        }


def diagnosis_text(diagnosis: Diagnosis, path: Path, exclude: Path) -> str:
    """Lay the diagnosis out for the screen, in ten lines at most.

    Args:
        diagnosis: what was found.
        path: where all of it is written.
        exclude: list of the recordings that had better be left out, where there are any.
    """
    lines = [f"doctor: {line}" for line in diagnosis.plan[:3]]
    if len(diagnosis.plan) > 3:
        lines.append(f"doctor: ... and {len(diagnosis.plan) - 3} more voices")
    counts = Counter(item.rule for item in diagnosis.findings)
    first = {item.rule: item for item in reversed(diagnosis.findings)}
    for rule, count in counts.most_common(3):
        item = first[rule]
        others = f" and {count - 1} more" if count > 1 else ""
        lines.append(f"doctor: {item.subject}{others}: {item.words}; {item.remedy}")
    if len(counts) > 3:
        lines.append(f"doctor: also {', '.join(f'{rule} ({count})' for rule, count in counts.most_common()[3:])}")
    if diagnosis.left_out:
        words = f"without the {len(diagnosis.left_out)} worst: the same command with {_override(exclude)}"
        lines.append(f"doctor: {words}")
    lines += [f"doctor: {line}" for line in diagnosis.missing[:1]]
    return "\n".join([*lines[:9], f"doctor: all of it in {path}"])


def _override(exclude: Path) -> str:
    """Return dataset.exclude=<path> as a shell takes it, and after it Hydra's grammar, in which lists are typed."""
    path = str(exclude)
    if not re.fullmatch(r"[\w./ -]+", path, re.ASCII):
        path = "'" + path.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return shlex.quote(f"dataset.exclude={path}")


def _plan(voice: VoiceFacts, rate: int) -> str:
    verdict = verdict_of(voice)
    words = f"{verdict}, {voice.minutes:.1f} minutes ({voice.voiced_minutes:.1f} voiced)"
    words += "" if voice.bandwidth_hz is None else f"; {_rate(voice.bandwidth_hz, rate)}"
    words += "" if voice.coverage is None else f"; {voice.coverage:.0%} of the sounds of speech"
    return f"{words}; {TRAINING[verdict]}"


def _rate(bandwidth_hz: float, rate: int) -> str:
    heard = f"{bandwidth_hz / 1000:.0f} kHz of sound"
    if bandwidth_hz >= WIDE_HZ:
        return f"{heard}: any audio= fits"
    if bandwidth_hz >= NORMAL_HZ:
        return f"{heard}: audio=24k fits"
    dull = " (the voice will sound as dull as they do)" if rate > 16000 else ""
    return f"{heard}: more than audio=16k gains nothing{dull}"
