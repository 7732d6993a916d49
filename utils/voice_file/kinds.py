"""Which programs load a graph: hosts of voices, hosts of streams, or a program that feeds RVC generators."""

import json
from pathlib import Path
from typing import Any

from utils.errors import FormatError
from utils.voice_file.geometry import HIGHEST_RATE, LOWEST_RATE
from utils.voice_file.metadata import METADATA_KEY, VoiceMetadata
from utils.voice_file.names import is_stream_file
from utils.voice_file.runtime import GraphSession, stored_texts
from utils.voice_file.rvc_formats import CLIENT_KEY, OWN_KEY, RVC_FORMATS, GeneratorShape, RvcFormat
from utils.voice_file.signature import AUDIO_INPUT, FLOAT

AUDIO_TO_AUDIO, STREAM = "audio_to_audio", "stream"
USUAL_CHANNELS = 192  # of the latent of every published voice
USUAL_CONTENT = 768


def is_stream(path: Path, metadata: VoiceMetadata | None) -> bool:
    """Whether a graph converts block by block, by its name or by its metadata."""
    return is_stream_file(path) or (metadata is not None and "stream" in metadata.extra)


def rvc_format_of(session: GraphSession) -> RvcFormat | None:
    """Return the format of an RVC generator, or None for a graph that is none.

    It is that of our own metadata, else that of the clients', else what the names of the inputs say.
    """
    own = str(own_values(session).get("dialect"))
    if own in RVC_FORMATS:
        return RVC_FORMATS[own]
    names = {value.name for value in session.get_inputs()}
    is_voice = METADATA_KEY in stored_texts(session, "the graph").values
    if not is_voice and ({"feats", "p_len"} <= names or "samplingRate" in client_values(session)):
        return RVC_FORMATS["deiteris" if "skip_head" in names else "wokada"]
    return RVC_FORMATS["rvc_webui"] if {"phone", "phone_lengths"} <= names else None


def stated_shape(session: GraphSession) -> GeneratorShape | None:
    """Return what the metadata says, or None where it does not say all of it or says the impossible."""
    own, client = own_values(session), client_values(session)
    stated = {
        "content_dim": own.get("content_dim", client.get("embChannels")),
        "channels": own.get("channels", _axis(session, "rnd", 1, USUAL_CHANNELS)),
        "sample_rate": own.get("sample_rate", client.get("samplingRate")),
        "num_speakers": own.get("num_speakers", 1),
    }
    has_f0 = own.get("has_f0", client.get("f0"))
    if not all(type(value) is int and value > 0 for value in stated.values()) or not isinstance(has_f0, bool):
        return None
    return GeneratorShape(**stated, has_f0=has_f0) if LOWEST_RATE <= stated["sample_rate"] <= HIGHEST_RATE else None


def guessed_shape(session: GraphSession, rvc_format: RvcFormat, sample_rate: int) -> GeneratorShape:
    """Return what the axes of the inputs say, for a graph without metadata."""
    first = "phone" if rvc_format.name == "rvc_webui" else "feats"
    return GeneratorShape(
        content_dim=_axis(session, first, 2, USUAL_CONTENT),
        channels=_axis(session, "rnd", 1, USUAL_CHANNELS),
        has_f0="pitchf" in {value.name for value in session.get_inputs()},
        sample_rate=sample_rate,
        num_speakers=1,
    )


def require_audio(session: GraphSession, source: str) -> None:
    """Refuse a graph that does not take audio.

    Raises:
        FormatError: with what it takes and gives; the message names `source`.
    """
    inputs = session.get_inputs()
    first = inputs[0] if inputs else None
    if first is not None and (first.name == AUDIO_INPUT or (first.type == FLOAT and len(first.shape or ()) == 2)):
        return
    taken, given = (
        ", ".join(f"{value.name} {value.type} {value.shape}" for value in values[:6]) or "nothing"
        for values in (inputs, session.get_outputs())
    )
    programs = ", ".join(rvc_format.program for rvc_format in RVC_FORMATS.values())
    raise FormatError(
        f"{source} is no voice: it takes {taken} and gives {given}; verify= tries graphs from audio to "
        f"audio, streams, and RVC generators for {programs}"
    )


def own_values(session: GraphSession) -> dict[str, Any]:
    """Return the JSON that this workbench stores in a generator's graph; empty without a readable one."""
    return _stored_json(session, OWN_KEY)


def client_values(session: GraphSession) -> dict[str, Any]:
    """Return the JSON under the clients' key; without a readable one they guess, which nothing here wants."""
    return _stored_json(session, CLIENT_KEY)


def _stored_json(session: GraphSession, key: str) -> dict[str, Any]:
    try:
        values = json.loads(stored_texts(session, "the graph").values[key])
    except (KeyError, ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _axis(session: GraphSession, name: str, place: int, usual: int) -> int:
    shapes = [list(value.shape or ()) for value in session.get_inputs() if value.name == name]
    found = shapes[0][place] if shapes and len(shapes[0]) > place else None
    return found if isinstance(found, int) and found > 0 else usual
