"""card.md: the card of an exported voice for people."""

import json
from collections.abc import Sequence
from typing import Any

from utils.export.graph_kinds import ExportedGraph
from utils.export.markdown import code, plain
from utils.shipped import licences_of
from utils.version import VERSION
from utils.voice_file.control_inputs import asks_for_controls
from utils.voice_file.controls import SPEAKER_CONTROLS, controls_with
from utils.voice_file.metadata import TEACHER_KEY, VoiceMetadata
from utils.voice_file.names import parse_file_name
from utils.voice_file.signature import AUDIO_INPUT, AUDIO_OUTPUT, NEXT_STATE_OUTPUT, STATE_INPUT

UNKNOWN = "not known to this program"
F0_WORDS = {"zero_unvoiced": "0", "interpolated": "a line between the voiced ones"}
USAGE = """import numpy as np
import onnxruntime
import soundfile

session = onnxruntime.InferenceSession({file})
audio, rate = soundfile.read("input.wav", dtype="float32", always_2d=True)
assert rate == {rate}  # the graph does not resample for you
{controls}converted = session.run(None, {{"audio": audio.mean(1)[None]{more}}})[0][0]
{hint}soundfile.write("converted.wav", np.clip(converted, -1, 1), rate)
"""
OPTIONAL = '# optional controls: session.run(None, {"audio": ..., "pitch_shift": np.array(-3, np.float32)})\n'
STREAM_USAGE = """import numpy as np
import onnxruntime
import soundfile

session = onnxruntime.InferenceSession({file})
audio, rate = soundfile.read("input.wav", dtype="float32", always_2d=True)
assert rate == {rate}  # the graph does not resample for you
block, late = {block}, {look_ahead}  # samples
sound = np.pad(audio.mean(1), (0, late + -(len(audio) + late) % block))  # silence behind it: the output is late
{controls}state, converted = np.zeros((1, {state_size}), np.float32), []
for start in range(0, len(sound), block):  # a live host gets these blocks from its device
    feed = {{"audio": sound[None, start : start + block], "state": state{more}}}
    output, state = session.run(["output", "next_state"], feed)
    converted.append(output[0])
result = np.concatenate(converted)[late : late + len(audio)]
soundfile.write("converted.wav", np.clip(result, -1, 1), rate)
"""


def card_text(card: dict[str, Any], graphs: Sequence[ExportedGraph], retrieval: Sequence[str]) -> str:
    """Return the text.

    Args:
        card: content of card.json.
        graphs: every graph of the export; the first one describes the voice.
        retrieval: lines about the index and the codebook.
    """
    metadata = graphs[0].metadata
    speakers = "\n".join(
        f"| {speaker.id} | {plain(speaker.name)} | {speaker.f0_median_hz:.0f} |" for speaker in metadata.speakers
    )
    files = "\n".join(
        f"| {plain(entry['name'])} | {entry['bytes'] / 1e6:.1f} | `{entry['sha256']}` |" for entry in card["files"]
    )
    controls = "\n".join(
        f"| `{item.name}` | {item.kind} | {metadata.defaults[item.name]:g} | "
        f"{item.low:g} to {_highest(item.name, item.high, metadata):g} | {item.meaning} |"
        for item in controls_with(metadata.defaults)
    )
    parts = [
        f"# {plain(metadata.name)}",
        _summary(card),
        f"Licence: {plain(metadata.licence)}. Consent of the speaker: {plain(metadata.consent)}.",
        f"## Speakers\n\n| id | name | median pitch (Hz) |\n|---|---|---|\n{speakers}",
        f"## Files\n\n| file | MB | SHA-256 |\n|---|---|---|\n{files}",
        f"## Controls\n\n{_controls(metadata)}\n\n"
        f"| name | type | default | range | meaning |\n|---|---|---|---|---|\n{controls}",
        f"## Use\n\n```python\n{_usage(card, metadata)}```",
        *_streams(card),
        f"## Rates\n\n{_rates(graphs)}",
        *(["## Retrieval", *(f"- {line}" for line in retrieval)] if retrieval else []),
        _origin(metadata),
        *_licences(card),
        _verification(card),
    ]
    return "\n\n".join(parts) + "\n"


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


def _controls(metadata: VoiceMetadata) -> str:
    if asks_for_controls(metadata):
        return (
            "Required inputs of the graph: every run must be given all of them. NaN stands for the default. "
            "A program that knows audio alone, voclo among them, cannot use this file."
        )
    return (
        "Optional inputs of the graph. onnxsim keeps them with mutable_initializer=True and "
        "initializers_as_constants=False only."
    )


def _usage(card: dict[str, Any], metadata: VoiceMetadata) -> str:
    """Return code that converts a recording, with a stream only where there is no other graph."""
    given = {"controls": "", "more": "", "hint": OPTIONAL}
    if asks_for_controls(metadata):
        pairs = (
            f'"{item.name}": np.array({metadata.defaults[item.name]:g}, np.{item.kind})'
            for item in controls_with(metadata.defaults)
        )
        lines = ",\n    ".join(pairs)
        given = {"controls": f"controls = {{\n    {lines},\n}}\n", "more": ", **controls", "hint": ""}
    name = next((name for name in card["graphs"] if name not in card["streams"]), None)
    if name is not None:
        rate = card["graphs"][name]["sample_rate"]
        return USAGE.format(file=json.dumps(name, ensure_ascii=False), rate=rate, **given)
    name, facts = next(iter(card["streams"].items()))
    return STREAM_USAGE.format(
        file=json.dumps(name, ensure_ascii=False), rate=card["graphs"][name]["sample_rate"], **facts, **given
    )


def _rates(graphs: Sequence[ExportedGraph]) -> str:
    lines = []
    for graph in graphs:
        bands = (
            "; ".join(str(item) for item in graph.resamplers) or "no resampler, the rate of the graph is that inside"
        )
        lines.append(f"- {plain(graph.path.name)}: {parse_file_name(graph.path).sample_rate} Hz in and out; {bands}")
    return "\n".join(lines)


def _streams(card: dict[str, Any]) -> list[str]:
    """Return the section about streaming graphs, if there are any."""
    rows = "\n".join(
        f"| {plain(name)} | {facts['block']} | {facts['look_ahead']} | {facts['latency_ms']:.1f} "
        f"| {facts['state_size']} |"
        for name, facts in card["streams"].items()
    )
    head = (
        f"## Streams\n\nBlock by block: `{AUDIO_INPUT}` [1, block] and `{STATE_INPUT}` [1, size] in, `{AUDIO_OUTPUT}` "
        f"[1, block] and `{NEXT_STATE_OUTPUT}` [1, size] out, float32. Zeros for the state begin a new stream; each "
        "call takes what the one before returned. The output is behind the input by the look-ahead; latency counts the "
        "block, too. A host that keeps no state must use a graph for recordings.\n\n"
        "| file | block (samples) | look-ahead (samples) | latency (ms) | state (numbers) |\n|---|---|---|---|---|\n"
    )
    inside = {
        f"In streams the content encoder is {_named(facts['encoder'])}, the pitch tracker {_named(facts['pitch'])}."
        for facts in card["streams"].values()
        if "encoder" in facts
    }
    return [head + rows, *sorted(inside)] if rows else []


def _origin(metadata: VoiceMetadata) -> str:
    metrics = (
        ", ".join(f"{plain(name)} {value:.4g}" for name, value in sorted(metadata.metrics.items())) or "none recorded"
    )
    return (
        f"## Origin\n\n{metadata.step} training steps; held-out figures: {metrics}. "
        f"{_start(metadata.extra.get('pretrained'))}Content encoder {_named(metadata.encoder)}, "
        f"pitch tracker {_named(metadata.pitch)} "
        f"(f0 in unvoiced frames: {F0_WORDS.get(metadata.f0_convention, plain(metadata.f0_convention))}), "
        f"generator at {metadata.model_rate} Hz, weights in {plain(metadata.precision)}. "
        f"Dataset fingerprint {code(metadata.dataset_fingerprint)}. Exported by voclo-trainer {VERSION}."
    )


def _start(pretrained: dict[str, dict[str, str]] | None) -> str:
    """Return what the training started from; nothing where that is not known."""
    if pretrained is None:
        return ""
    files = [f"{plain(item['file'])} (SHA-256 {code(item['sha256'])})" for item in pretrained.values()]
    return f"Training started from {' and '.join(files) or 'random weights'}. "


def _licences(card: dict[str, Any]) -> list[str]:
    """Return what those ask who made the weights and recordings that the voice began with, where that is known."""
    lines = [
        f"- {plain(item['what'])} ({code(item['sha256'][:12])}): {plain(item['licences'] or UNKNOWN)}"
        for item in card["origins"]
    ]
    head = (
        "## What it was made from\n\nThe licence of the voice does not replace these; its own recordings are not among "
        "them:\n\n"
    )
    return [head + "\n".join(lines)] if lines else []


def origins(metadata: VoiceMetadata, streams: Sequence[dict[str, Any]]) -> list[dict[str, str | None]]:
    """Return the weights of others that a voice holds or was trained from, and its teacher, each with its licences.

    Args:
        metadata: of the voice.
        streams: facts of its streaming graphs, which have an encoder and a tracker of their own.
    """
    found = {
        str(item["sha256"]): f"base voice, {item['file']}" for item in (metadata.extra.get("pretrained") or {}).values()
    }
    for facts in [{"encoder": metadata.encoder, "pitch": metadata.pitch}, *streams]:
        for kind, words in (("encoder", "content encoder"), ("pitch", "pitch tracker")):
            identity = facts.get(kind) or {}
            if identity.get("weights_sha256"):
                found[str(identity["weights_sha256"])] = f"{words}, {identity.get('id', 'unknown')}"
    known = [{"what": what, "sha256": digest, "licences": licences_of(digest)} for digest, what in found.items()]
    return known + _teacher(metadata.extra.get(TEACHER_KEY))


def _teacher(facts: dict[str, Any] | None) -> list[dict[str, str | None]]:
    """Return the voice that a distilled one was taught by, with its licence; nothing for another one."""
    if facts is None:
        return []
    what = f"teacher, voice {facts['name']}, speaker {facts['speaker']}, consent: {facts['consent']}"
    return [{"what": what, "sha256": str(facts["sha256"]), "licences": str(facts["licence"])}]


def _named(identity: dict[str, Any]) -> str:
    """Return an encoder or tracker in words: its id, look-ahead and the beginning of its weights' hash."""
    look_ahead = [f"look_ahead={plain(identity['look_ahead'])}"] if "look_ahead" in identity else []
    weights = [f"weights {code(str(identity['weights_sha256'])[:12])}"] if identity.get("weights_sha256") else []
    details = ", ".join(look_ahead + weights)
    return f"{plain(identity.get('id', 'unknown'))}{f' ({details})' if details else ''}"


def _verification(card: dict[str, Any]) -> str:
    sections = []
    for name, checks in card["verification"].items():
        rows = "\n".join(
            f"| {plain(check['name'])} | {check['outcome'].replace('PASS', 'pass')} | {plain(check['detail'])} |"
            for check in checks
        )
        sections.append(f"### {plain(name)}\n\n| rule | outcome | detail |\n|---|---|---|\n{rows}")
    return "## Verification\n\n" + "\n\n".join(sections)


def _highest(name: str, high: float, metadata: VoiceMetadata) -> float:
    return len(metadata.speakers) - 1 if name in SPEAKER_CONTROLS else high
