"""The JSON inside an exported graph: what the voice is, where it comes from and who may use it."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from utils.errors import FormatError
from utils.voice_file.geometry import FileGeometry
from utils.voice_file.speakers import Speaker
from utils.voice_file.stored_values import metadata_fault

METADATA_KEY = "voclo_trainer"
IDLE_KEY = "idle_controls"  # under extra: names of the controls that the voice gives nothing to act on
HIGHPASS_KEY = "highpass"  # under extra: the filter before all analysis; absent in graphs without one
BANDWIDTH_KEY = "bandwidth_hz"  # under extra: how high the voice's speech reaches, measured on the PyTorch side
AUTOMATIC_PITCH_KEY = "automatic_pitch"  # under extra: {"step": semitones} where pitch_shift is automatic
TEACHER_KEY = "teacher"  # under extra: the voice that made the audio from which this one was trained; absent without
CONTROLS_KEY = "controls"  # under extra: CONTROLS_AS_INPUTS where every run must be given the controls; else absent
CONTROLS_AS_INPUTS = "inputs"
NOT_JUDGED_KEY = "not_judged"  # under extra: names of the rules that the voice itself did not keep at its export
NO_PART = {"id": "none"}  # identity of the encoder and tracker of a voice that reads the audio itself
SCHEMA_VERSION = 2  # 2: precision
F0_CONVENTION = "zero_unvoiced"


@dataclass(frozen=True, kw_only=True)
class StreamFacts:
    """What a host must know about a streaming graph; in its metadata under extra.stream.

    Attributes:
        block: samples of each call.
        look_ahead: samples by which the output is behind the input.
        state_size: numbers of the state; zeros begin a new stream.
        latency_ms: of the block and the look-ahead together.
    """

    block: int
    look_ahead: int
    state_size: int
    latency_ms: float


@dataclass(frozen=True, kw_only=True)
class VoiceMetadata:
    """The JSON that travels inside the graph under METADATA_KEY.

    Attributes:
        sample_rate: rate of the graph's input and output; hop_length and n_fft belong to it.
        model_rate: rate at which the generator works inside.
        flavour: kind of graph, "audio_to_audio" or "stream".
        encoder: identity of the content encoder in the graph.
        pitch: identity of the pitch tracker in the graph.
        defaults: values of the controls when a caller gives none; 0 for a pitch_shift that the graph chooses.
        index_sha256: hash of the FAISS index beside the graph, or None without one.
        step: generator updates of the checkpoint.
        metrics: held-out figures of the checkpoint.
        config: resolved configuration of the run as YAML text.
        precision: in which learned weights are stored, see utils.export.precision.
        extra: what not every graph has, such as IDLE_KEY.
    """

    name: str
    sample_rate: int
    hop_length: int
    n_fft: int
    model_rate: int
    flavour: str
    encoder: dict[str, Any]
    pitch: dict[str, Any]
    speakers: tuple[Speaker, ...]
    defaults: dict[str, float]
    index_sha256: str | None
    licence: str
    consent: str
    dataset_fingerprint: str
    step: int
    metrics: dict[str, float]
    config: str
    precision: str = "fp32"
    f0_convention: str = F0_CONVENTION
    schema_version: int = SCHEMA_VERSION
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def geometry(self) -> FileGeometry:
        """The numbers in the name of its file."""
        return FileGeometry(
            name=self.name,
            sample_rate=self.sample_rate,
            hop_length=self.hop_length,
            n_fft=self.n_fft,
            is_stream="stream" in self.extra,
        )

    @property
    def pitch_step(self) -> int | None:
        """Semitones of which the automatic pitch_shift is a multiple; None where the default is a number."""
        stated = self.extra.get(AUTOMATIC_PITCH_KEY)
        step = stated.get("step") if isinstance(stated, Mapping) else None
        return step if type(step) is int and step > 0 else None

    @property
    def control_defaults(self) -> dict[str, float]:
        """`defaults` as a graph takes them: NaN for a pitch_shift that it chooses by itself."""
        return self.defaults | ({"pitch_shift": math.nan} if self.pitch_step is not None else {})

    def to_json(self) -> str:
        """Return compact JSON with sorted keys, so that equal voices give equal bytes."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False, allow_nan=False)


def metadata_from_json(text: str, source: str) -> VoiceMetadata:
    """Read VoiceMetadata back.

    Args:
        text: the JSON stored in the graph.
        source: file named in errors.
    Raises:
        FormatError: if it is not JSON of our schema, holds what cannot be, or was written by a later version.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{source}: its metadata is not JSON ({error}); export the voice again") from error
    if not isinstance(values, Mapping):
        raise FormatError(f"{source}: its metadata is not a mapping; export the voice again")
    version = values.get("schema_version")
    if not isinstance(version, int) or not 1 <= version <= SCHEMA_VERSION:
        raise FormatError(
            f"{source}: metadata has schema_version {version!r}, this program reads 1 to {SCHEMA_VERSION}; "
            "use the version that exported it or export again"
        )
    fault = metadata_fault(values)
    if fault is not None:
        raise FormatError(f"{source}: in its metadata {fault}; export the voice again")
    try:
        speakers = tuple(Speaker(**speaker) for speaker in values["speakers"])
        return VoiceMetadata(**{**values, "speakers": speakers})
    except (TypeError, KeyError) as error:
        raise FormatError(f"{source}: its metadata is incomplete ({error}); export the voice again") from error
