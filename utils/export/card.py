"""card.json and card.md: what an exported voice is, how it was made and what was proven about it."""

import importlib.metadata
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from utils.errors import FormatError
from utils.export.graph_kinds import ExportedGraph
from utils.export.retrieval import BakingReport
from utils.features.index import IndexReport
from utils.files import atomic_write_json, atomic_write_text, sha256_of_file
from utils.voice_file.controls import CONTROLS
from utils.voice_file.metadata import VoiceMetadata
from utils.voice_file.names import parse_file_name
from utils.voice_file.signature import AUDIO_INPUT, AUDIO_OUTPUT, NEXT_STATE_OUTPUT, STATE_INPUT

CARD, CARD_TEXT = "card.json", "card.md"
CARD_SCHEMA_VERSION = 3  # 2: precision, baking, further figures of the index; 3: graphs
OF_ONE_GRAPH = ("sample_rate", "hop_length", "n_fft", "flavour")
F0_WORDS = {"zero_unvoiced": "0", "interpolated": "a line between the voiced ones"}
TOOLS = ("torch", "onnx", "onnxruntime", "onnxsim", "faiss-cpu")
USAGE = """import numpy as np
import onnxruntime
import soundfile

session = onnxruntime.InferenceSession("{file}")
audio, rate = soundfile.read("input.wav", dtype="float32", always_2d=True)
assert rate == {rate}  # the graph does not resample for you
converted = session.run(None, {{"audio": audio.mean(1)[None]}})[0][0]
# optional controls: session.run(None, {{"audio": ..., "pitch_shift": np.float32(-3)}})
soundfile.write("converted.wav", np.clip(converted, -1, 1), rate)
"""
STREAM_USAGE = """import numpy as np
import onnxruntime
import soundfile

session = onnxruntime.InferenceSession("{file}")
audio, rate = soundfile.read("input.wav", dtype="float32", always_2d=True)
assert rate == {rate}  # the graph does not resample for you
block, late = {block}, {look_ahead}  # samples
sound = np.pad(audio.mean(1), (0, late + -(len(audio) + late) % block))  # silence behind it: the output is late
state, converted = np.zeros((1, {state_size}), np.float32), []
for start in range(0, len(sound), block):  # a live host gets these blocks from its device
    feed = {{"audio": sound[None, start : start + block], "state": state}}
    output, state = session.run(["output", "next_state"], feed)
    converted.append(output[0])
result = np.concatenate(converted)[late : late + len(audio)]
soundfile.write("converted.wav", np.clip(result, -1, 1), rate)
"""


def write_cards(
    folder: Path,
    metadata: VoiceMetadata,
    graphs: Sequence[ExportedGraph],
    index_path: Path | None,
    index_report: IndexReport | None,
    baking: BakingReport | None = None,
) -> dict[str, Any]:
    """Write card.json and card.md into a folder and return the content of card.json.

    Args:
        folder: where the graphs and the index already are.
        metadata: of the first graph.
        graphs: every graph of the export.
        index_path: the FAISS index, or None.
        index_report: what the index holds, or None.
        baking: what the codebook in the graph loses against the index, or None.
    """
    card = _card(metadata, graphs, index_path, index_report)
    card["baking"] = asdict(baking) if baking else None
    retrieval = [str(item) for item in (index_report, baking) if item]
    atomic_write_json(folder / CARD, card)
    atomic_write_text(folder / CARD_TEXT, _markdown(card, metadata, graphs, retrieval))
    return card


def read_card(folder: Path) -> dict[str, Any] | None:
    """Return the card of an export, or None where there is no readable one.

    Raises:
        FormatError: if a later version of this program wrote it.
    """
    path = folder / CARD
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(card, dict):
        return None
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


def _card(
    metadata: VoiceMetadata,
    graphs: Sequence[ExportedGraph],
    index_path: Path | None,
    index_report: IndexReport | None,
) -> dict[str, Any]:
    paths = [graph.path for graph in graphs] + ([index_path] if index_path else [])
    hidden = ("schema_version", "extra", *OF_ONE_GRAPH)
    described = {key: value for key, value in asdict(metadata).items() if key not in hidden}
    return {
        "schema_version": CARD_SCHEMA_VERSION,
        "voice": described,
        "rates": sorted({parse_file_name(graph.path).sample_rate for graph in graphs}),
        "graphs": {graph.path.name: _graph(graph) for graph in graphs},
        "files": [{"name": path.name, "bytes": path.stat().st_size, "sha256": sha256_of_file(path)} for path in paths],
        "index": asdict(index_report) if index_report else None,
        "pretrained": metadata.extra.get("pretrained"),
        "streams": {graph.path.name: _stream(graph) for graph in graphs if graph.stream},
        "verification": {
            graph.path.name: [{**asdict(check), "outcome": check.outcome} for check in graph.checks] for graph in graphs
        },
        "tools": {name: importlib.metadata.version(name) for name in TOOLS},
    }


def _graph(graph: ExportedGraph) -> dict[str, Any]:
    geometry = parse_file_name(graph.path)
    return {
        "flavour": "stream" if graph.stream else "audio_to_audio",
        "sample_rate": geometry.sample_rate,
        "hop_length": geometry.hop_length,
        "n_fft": geometry.n_fft,
        "resamplers": [asdict(bands) for bands in graph.resamplers],
    }


def _markdown(
    card: dict[str, Any], metadata: VoiceMetadata, graphs: Sequence[ExportedGraph], retrieval: Sequence[str]
) -> str:
    speakers = "\n".join(
        f"| {speaker.id} | {speaker.name} | {speaker.f0_median_hz:.0f} |" for speaker in metadata.speakers
    )
    files = "\n".join(
        f"| {entry['name']} | {entry['bytes'] / 1e6:.1f} | `{entry['sha256']}` |" for entry in card["files"]
    )
    controls = "\n".join(
        f"| `{item.name}` | {item.kind} | {metadata.defaults[item.name]:g} | "
        f"{item.low:g} to {_highest(item.name, item.high, metadata):g} | {item.meaning} |"
        for item in CONTROLS
    )
    parts = [
        f"# {metadata.name}",
        _summary(card),
        f"Licence: {metadata.licence}. Consent of the speaker: {metadata.consent}.",
        f"## Speakers\n\n| id | name | median pitch (Hz) |\n|---|---|---|\n{speakers}",
        f"## Files\n\n| file | MB | SHA-256 |\n|---|---|---|\n{files}",
        "## Controls\n\nOptional inputs of the graph. onnxsim keeps them with mutable_initializer=True and "
        "initializers_as_constants=False only.\n\n"
        f"| name | type | default | range | meaning |\n|---|---|---|---|---|\n{controls}",
        f"## Use\n\n```python\n{_usage(card)}```",
        *_streams(card),
        f"## Rates\n\n{_rates(graphs)}",
        *(["## Retrieval", *(f"- {line}" for line in retrieval)] if retrieval else []),
        _origin(metadata),
        _verification(card),
    ]
    return "\n\n".join(parts) + "\n"


def _stream(graph: ExportedGraph) -> dict[str, Any]:
    """Return what a host must know about a streaming graph, and which encoder and tracker are in it."""
    assert graph.stream is not None
    inside = {"encoder": graph.metadata.encoder, "pitch": graph.metadata.pitch} if graph.metadata else {}
    return asdict(graph.stream) | inside


def _summary(card: dict[str, Any]) -> str:
    rates = " or ".join(str(rate) for rate in card["rates"])
    one_each = ", one file for each rate" * (len(card["rates"]) > 1)
    if len(card["streams"]) == len(card["graphs"]):
        return (
            f"A voice-conversion graph for streams at {rates} Hz{one_each}: blocks of one length, with a state that "
            "goes in and comes out. It has no form for recordings of any length. Silence stays silence."
        )
    return (
        f"A voice-conversion graph: `{AUDIO_INPUT}` float32 [batch, time] at {rates} Hz in{one_each}, `{AUDIO_OUTPUT}` "
        "of the same length out. Any length from one sample; silence stays silence."
    )


def _usage(card: dict[str, Any]) -> str:
    """Return code that converts a recording, with a stream only where there is no other graph."""
    name = next((name for name in card["graphs"] if name not in card["streams"]), None)
    if name is not None:
        return USAGE.format(file=name, rate=card["graphs"][name]["sample_rate"])
    name, facts = next(iter(card["streams"].items()))
    return STREAM_USAGE.format(file=name, rate=card["graphs"][name]["sample_rate"], **facts)


def _rates(graphs: Sequence[ExportedGraph]) -> str:
    lines = []
    for graph in graphs:
        bands = (
            "; ".join(str(item) for item in graph.resamplers) or "no resampler, the rate of the graph is that inside"
        )
        lines.append(f"- {graph.path.name}: {parse_file_name(graph.path).sample_rate} Hz in and out; {bands}")
    return "\n".join(lines)


def _streams(card: dict[str, Any]) -> list[str]:
    """Return the section about streaming graphs, if there are any."""
    rows = "\n".join(
        f"| {name} | {facts['block']} | {facts['look_ahead']} | {facts['latency_ms']:.1f} | {facts['state_size']} |"
        for name, facts in card["streams"].items()
    )
    head = (
        f"## Streams\n\nBlock by block: `{AUDIO_INPUT}` [1, block] and `{STATE_INPUT}` [1, size] in, `{AUDIO_OUTPUT}` "
        f"[1, block] and `{NEXT_STATE_OUTPUT}` [1, size] out, float32. Zeros for the state begin a new stream; each "
        "call takes what the one before returned. The output is behind the input by the look-ahead; latency counts the "
        "block, too. A host that keeps no state must use a graph for recordings.\n\n"
        "| file | block (samples) | look-ahead (samples) | latency (ms) | state (numbers) |\n|---|---|---|---|---|\n"
    )
    heard = {
        f"In streams the content encoder is {_named(facts['encoder'])}, the pitch tracker {_named(facts['pitch'])}."
        for facts in card["streams"].values()
        if "encoder" in facts
    }
    return [head + rows, *sorted(heard)] if rows else []


def _origin(metadata: VoiceMetadata) -> str:
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in sorted(metadata.metrics.items())) or "none recorded"
    return (
        f"## Origin\n\n{metadata.step} training steps; held-out figures: {metrics}. "
        f"{_start(metadata.extra.get('pretrained'))}Content encoder {_named(metadata.encoder)}, "
        f"pitch tracker {_named(metadata.pitch)} "
        f"(f0 in unvoiced frames: {F0_WORDS.get(metadata.f0_convention, metadata.f0_convention)}), "
        f"generator at {metadata.model_rate} Hz, weights in {metadata.precision}. "
        f"Dataset fingerprint `{metadata.dataset_fingerprint}`."
    )


def _start(pretrained: dict[str, dict[str, str]] | None) -> str:
    """Return what the training started from; nothing where that is not known."""
    if pretrained is None:
        return ""
    files = [f"{item['file']} (SHA-256 `{item['sha256']}`)" for item in pretrained.values()]
    return f"Training started from {' and '.join(files) or 'random weights'}. "


def _named(identity: dict[str, Any]) -> str:
    """Return an encoder or tracker in words: its id, look-ahead and the beginning of its weights' hash."""
    look_ahead = [f"look_ahead={identity['look_ahead']}"] if "look_ahead" in identity else []
    weights = [f"weights `{str(identity['weights_sha256'])[:12]}`"] if identity.get("weights_sha256") else []
    details = ", ".join(look_ahead + weights)
    return f"{identity.get('id', 'unknown')}{f' ({details})' if details else ''}"


def _verification(card: dict[str, Any]) -> str:
    sections = []
    for name, checks in card["verification"].items():
        rows = "\n".join(
            f"| {check['name']} | {check['outcome'].replace('PASS', 'pass')} | {check['detail'].replace('|', '/')} |"
            for check in checks
        )
        sections.append(f"### {name}\n\n| rule | outcome | detail |\n|---|---|---|\n{rows}")
    return "## Verification\n\n" + "\n\n".join(sections)


def _highest(name: str, high: float, metadata: VoiceMetadata) -> float:
    return len(metadata.speakers) - 1 if name == "speaker_id" else high
