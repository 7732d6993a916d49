"""card.json and card.md: what an exported voice is, how it was made and what was proven about it."""

import importlib.metadata
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from utils.errors import FormatError
from utils.export.analysis import index_remarks
from utils.export.card_text import card_text, origins
from utils.export.graph_kinds import ExportedGraph
from utils.export.retrieval import WrittenIndex
from utils.files import atomic_write_json, atomic_write_text, read_file, sha256_of_file
from utils.verification.card_rules import CHECKSUM, checksum_of_card
from utils.version import VERSION
from utils.voice_file.kinds import AUDIO_TO_AUDIO, STREAM
from utils.voice_file.names import parse_file_name

CARD, CARD_TEXT = "card.json", "card.md"
CARD_SCHEMA_VERSION = 3  # 2: precision, baking, further figures of the index; 3: graphs; later: origins
OF_ONE_GRAPH = ("sample_rate", "hop_length", "n_fft", "flavour")
TOOLS = ("torch", "onnx", "onnxruntime", "onnxsim", "faiss-cpu")
log = logging.getLogger(__name__)


def write_cards(folder: Path, graphs: Sequence[ExportedGraph], index: WrittenIndex | None) -> dict[str, Any]:
    """Write card.json and card.md into a folder and return the content of card.json.

    Args:
        folder: where the graphs and the index already are.
        graphs: every graph of the export; the first one describes the voice.
        index: the index beside them, or None.
    """
    card = _card(graphs, index)
    retrieval = [str(item) for item in (index.report, index.baking) if item] if index else []
    retrieval += index_remarks(index.path, index.report.dim, graphs[0].metadata.encoder) if index else []
    atomic_write_json(folder / CARD, card | {CHECKSUM: checksum_of_card(card)})
    atomic_write_text(folder / CARD_TEXT, card_text(card, graphs, retrieval))
    return card


def read_card(folder: Path) -> dict[str, Any] | None:
    """Return the card of an export, or None where there is no readable one.

    Raises:
        FormatError: if a later version of this program wrote it.
    """
    path = folder / CARD
    try:
        card = json.loads(read_file(path).decode("utf-8"), parse_constant=lambda _: None)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        log.warning("%s cannot be read, and is taken as absent", path)
        return None
    if not isinstance(card, dict):
        return None
    checksum = card.pop(CHECKSUM, None)
    if checksum is not None and checksum != checksum_of_card(card):
        log.warning("%s was changed after it was written", path)
    version = card.get("schema_version")
    if isinstance(version, int) and version > CARD_SCHEMA_VERSION:
        raise FormatError(
            f"{path} has schema_version {version}, this program reads 1 to {CARD_SCHEMA_VERSION}; use the version that "
            "wrote it, or export under another name="
        )
    return card


def files_of_card(folder: Path) -> set[str]:
    """Return the names of the files that an earlier export recorded in a folder; none if there is no readable card.

    Raises:
        FormatError: if a later version of this program wrote it.
    """
    try:
        return {str(entry["name"]) for entry in (read_card(folder) or {"files": []})["files"]}
    except (KeyError, TypeError):
        return set()


def _card(graphs: Sequence[ExportedGraph], index: WrittenIndex | None) -> dict[str, Any]:
    metadata, paths = graphs[0].metadata, [graph.path for graph in graphs] + ([index.path] if index else [])
    hidden = ("schema_version", "extra", *OF_ONE_GRAPH)
    described = {key: value for key, value in asdict(metadata).items() if key not in hidden}
    streams = {graph.path.name: _stream(graph) for graph in graphs if graph.stream}
    return {
        "schema_version": CARD_SCHEMA_VERSION,
        "voice": described,
        "rates": sorted({parse_file_name(graph.path).sample_rate for graph in graphs}),
        "graphs": {graph.path.name: _graph(graph) for graph in graphs},
        "files": [{"name": path.name, "bytes": path.stat().st_size, "sha256": sha256_of_file(path)} for path in paths],
        "index": asdict(index.report) if index else None,
        "pretrained": metadata.extra.get("pretrained"),
        "origins": origins(metadata, list(streams.values())),
        "streams": streams,
        "verification": {
            graph.path.name: [{**asdict(check), "outcome": check.outcome} for check in graph.checks] for graph in graphs
        },
        "tools": {"voclo-trainer": VERSION} | {name: importlib.metadata.version(name) for name in TOOLS},
        "baking": asdict(index.baking) if index and index.baking else None,
    }


def _graph(graph: ExportedGraph) -> dict[str, Any]:
    geometry = parse_file_name(graph.path)
    return {
        "flavour": STREAM if graph.stream else AUDIO_TO_AUDIO,
        "sample_rate": geometry.sample_rate,
        "hop_length": geometry.hop_length,
        "n_fft": geometry.n_fft,
        "resamplers": [asdict(bands) for bands in graph.resamplers],
    }


def _stream(graph: ExportedGraph) -> dict[str, Any]:
    """Return what a host must know about a streaming graph, and which encoder and tracker are in it."""
    assert graph.stream is not None
    return asdict(graph.stream) | {"encoder": graph.metadata.encoder, "pitch": graph.metadata.pitch}
