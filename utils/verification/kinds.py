"""Which programs load a graph, so that it is tried by their rules and by no others."""

import json
import logging
from typing import Any

import onnxruntime

from utils.errors import FormatError
from utils.verification.candidate import RATES, Candidate
from utils.verification.rvc_clients import GeneratorCandidate, client_values
from utils.voice_file.contract import AUDIO_INPUT, METADATA_KEY, is_stream_file
from utils.voice_file.rvc_formats import DIALECTS, FLOAT, HALF, OWN_KEY, Dialect, GeneratorShape

USUAL_CHANNELS = 192  # of the latent of every published voice
USUAL_CONTENT = 768
USUAL_RATE = 48000
PROBE_FRAMES = 20
log = logging.getLogger(__name__)


def is_stream(candidate: Candidate) -> bool:
    """Whether a graph converts block by block, by its name or by its metadata."""
    return is_stream_file(candidate.path) or (candidate.metadata is not None and "stream" in candidate.metadata.extra)


def generator_of(candidate: Candidate) -> GeneratorCandidate | None:
    """Return what the rules of an RVC generator need, or None for a graph that takes audio.

    The dialect is that of our own metadata, else that of the clients', else what the names of the inputs say.

    Raises:
        FormatError: if the graph is neither a voice nor a generator.
    """
    session = candidate.session
    dialect = _dialect(session)
    if dialect is None:
        _require_audio(candidate)
        return None
    precision = "fp16" if session.get_inputs()[0].type == HALF else "fp32"
    shape = _shape(session)
    if shape is None:
        guess = GeneratorCandidate(path=candidate.path, dialect=dialect, shape=_guess(session, dialect, USUAL_RATE))
        shape = _guess(session, dialect, _probed_rate(guess))
    return GeneratorCandidate(path=candidate.path, dialect=dialect, shape=shape, precision=precision)


def _dialect(session: onnxruntime.InferenceSession) -> Dialect | None:
    own = str(_own_values(session).get("dialect"))
    if own in DIALECTS:
        return DIALECTS[own]
    names = {value.name for value in session.get_inputs()}
    is_voice = METADATA_KEY in session.get_modelmeta().custom_metadata_map
    if not is_voice and ({"feats", "p_len"} <= names or "samplingRate" in client_values(session)):
        return DIALECTS["deiteris" if "skip_head" in names else "wokada"]
    return DIALECTS["rvc_webui"] if {"phone", "phone_lengths"} <= names else None


def _shape(session: onnxruntime.InferenceSession) -> GeneratorShape | None:
    """Return what the metadata says, or None where it does not say all of it or says the impossible."""
    own, client = _own_values(session), client_values(session)
    stated = {
        "content_dim": own.get("content_dim", client.get("embChannels")),
        "channels": own.get("channels", _axis(session, "rnd", 1, USUAL_CHANNELS)),
        "sample_rate": own.get("sample_rate", client.get("samplingRate")),
        "num_speakers": own.get("num_speakers", 1),
    }
    has_f0 = own.get("has_f0", client.get("f0"))
    if not all(type(value) is int and value > 0 for value in stated.values()) or not isinstance(has_f0, bool):
        return None
    return GeneratorShape(**stated, has_f0=has_f0) if RATES[0] <= stated["sample_rate"] <= RATES[1] else None


def _guess(session: onnxruntime.InferenceSession, dialect: Dialect, rate: int) -> GeneratorShape:
    first = "phone" if dialect.name == "rvc_webui" else "feats"
    return GeneratorShape(
        content_dim=_axis(session, first, 2, USUAL_CONTENT),
        channels=_axis(session, "rnd", 1, USUAL_CHANNELS),
        has_f0="pitchf" in {value.name for value in session.get_inputs()},
        sample_rate=rate,
        num_speakers=1,
    )


def _probed_rate(candidate: GeneratorCandidate) -> int:
    """Return the rate by the number of samples that some frames become; the usual one where the graph fails."""
    try:
        count = candidate.session.run(None, candidate.feed(candidate.features(PROBE_FRAMES, 0)))[0].size
    except Exception:  # the rules will say what is wrong
        log.debug("%s does not run as %s feeds it", candidate.path, candidate.dialect.program, exc_info=True)
        return USUAL_RATE
    rate = 100 * round(count / PROBE_FRAMES)
    return rate if RATES[0] <= rate <= RATES[1] else USUAL_RATE


def _require_audio(candidate: Candidate) -> None:
    inputs = candidate.session.get_inputs()
    first = inputs[0] if inputs else None
    is_audio = first is not None and (
        first.name == AUDIO_INPUT or (first.type == FLOAT and len(first.shape or ()) == 2)
    )
    if not is_audio:
        taken, given = (
            ", ".join(f"{value.name} {value.type} {value.shape}" for value in values[:6]) or "nothing"
            for values in (inputs, candidate.session.get_outputs())
        )
        programs = ", ".join(dialect.program for dialect in DIALECTS.values())
        raise FormatError(
            f"{candidate.path} is no voice: it takes {taken} and gives {given}; verify= tries graphs from audio to "
            f"audio, streams, and RVC generators for {programs}"
        )


def _own_values(session: onnxruntime.InferenceSession) -> dict[str, Any]:
    try:
        values = json.loads(session.get_modelmeta().custom_metadata_map[OWN_KEY])
    except (KeyError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _axis(session: onnxruntime.InferenceSession, name: str, place: int, usual: int) -> int:
    shapes = [list(value.shape or ()) for value in session.get_inputs() if value.name == name]
    found = shapes[0][place] if shapes and len(shapes[0]) > place else None
    return found if isinstance(found, int) and found > 0 else usual
