"""What a voice is, as people look into it: .pth, .safetensors, .onnx, .index and runs, as text and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from utils.console import table
from utils.export.health import Health
from utils.rvc.encoders import CONTENTVEC, encoder_name
from utils.rvc.layout import CONTENT_LAYERS, VERSIONS

SCHEMA_VERSION = 1
LEFT_OUT = "trained"  # in the name of a file, for which the programs pass over it
# key -> words; the order in which they are shown. null in JSON, "not said" in text: the file does not say it
FACTS = {
    "name": "name", "creator": "creator", "created": "created", "program": "program", "architecture": "architecture",
    "version": "version", "vocoder": "vocoder", "sample_rate": "sample rate (Hz)", "uses_f0": "pitch",
    "f0_convention": "f0 in unvoiced frames", "embedder": "content encoder", "embedder_layer": "its layer",
    "content_dim": "values of content", "epochs": "epochs", "steps": "steps", "dataset_length": "length of the dataset",
    "speakers_trained": "speakers trained", "speaker_rows": "rows of speakers", "licence": "licence", "hash": "hash",
    "info": "info", "vectors": "vectors", "kind": "kind",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """What is known of a voice.

    Attributes:
        path: of the file or run.
        what: its kind in a line.
        facts: values by the keys of FACTS; those that do not belong to such a file are absent.
        speakers: their names, and what else is known of each.
        health: of its weights; None where it has none.
        remarks: lines of advice.
        parameters: (outcome, name and shape) against the published network; empty where nothing is compared.
        comparison: the outcome in a line.
    """

    path: Path
    what: str
    facts: Mapping[str, Any]
    speakers: Sequence[Mapping[str, Any]] = ()
    health: Health | None = None
    remarks: Sequence[str] = ()
    comparison: str = ""
    parameters: Sequence[Sequence[str]] = field(default=())

    def to_plain(self) -> dict[str, Any]:
        """Return plain data, for JSON."""
        return {
            "schema_version": SCHEMA_VERSION,
            "file": self.path.name,
            "what": self.what,
            **{key: self.facts[key] for key in FACTS if key in self.facts},
            "speakers": [dict(speaker) for speaker in self.speakers],
            "health": None if self.health is None else self.health.to_plain(),
            "remarks": list(self.remarks),
            "comparison": self.comparison or None,
            "parameters": [list(row) for row in self.parameters],
        }

    def lines(self) -> list[str]:
        """Return the lines for a person, the hundreds of parameters before what a terminal still shows at the end."""
        found = [self.what]
        found += [table(self.parameters, ["", "parameter"]), ""] if self.parameters else []
        found += _columns([[FACTS[key], _words(self.facts[key])] for key in FACTS if key in self.facts])
        if any(item["name"] != item.get("row") for item in self.speakers):
            found += ["speakers:", *_columns([[_words(value) for value in item.values()] for item in self.speakers])]
        elif self.speakers:
            found.append(f"speakers: {len(self.speakers)}, without names")
        if self.health is not None:
            found += ["weights:", *(f"  {line}" for line in self.health.lines())]
        found += [f"note: {remark}" for remark in self.remarks]
        return [*found, self.comparison] if self.comparison else found


def name_remarks(path: Path) -> list[str]:
    """Return what to know about the name of a voice's or an index's file."""
    if LEFT_OUT not in path.name.lower():
        return []
    words = f"RVC-WebUI and rvc-next pass over files with {LEFT_OUT!r} in their names, such as {path.name}"
    return [f"{words}; choose another name"]


def index_remarks(path: Path, dim: int, encoder: Mapping[str, Any]) -> list[str]:
    """Return what to know about an index whose size other programs take for that of their own voices.

    Args:
        path: of the index.
        dim: values of a vector.
        encoder: identity of the content encoder that it is of.
    """
    version = VERSIONS.get(dim)
    is_theirs = encoder_name(str(encoder.get("id"))) == CONTENTVEC and encoder.get("layer") == CONTENT_LAYERS.get(
        version or ""
    )
    if version is None or is_theirs:
        return []
    return [
        f"programs of RVC offer {path.name} for every {version} voice, as its vectors have {dim} values; they are of "
        f"the encoder {encoder.get('id')} and fit this voice alone"
    ]


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    return [
        f"  {'  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))}".rstrip() for row in rows
    ]


def _words(value: Any) -> str:
    if value is None:
        return "not said"
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
