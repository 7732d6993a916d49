"""What an exported voice promises: names, defaults, file name and metadata. Plain data, imports no torch."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from utils.audio.frames import FRAME_RATE
from utils.errors import ConfigError, FormatError
from utils.voice_file.stored_values import metadata_fault

AUDIO_INPUT = "audio"
AUDIO_OUTPUT = "output"
STATE_INPUT = "state"  # of a streaming graph
NEXT_STATE_OUTPUT = "next_state"
METADATA_KEY = "voclo_trainer"
IDLE_KEY = "idle_controls"  # under extra: names of the controls that the voice gives nothing to act on
SCHEMA_VERSION = 2  # 2: precision
OPSETS = range(17, 21)
F0_CONVENTION = "zero_unvoiced"
MAX_NAME_LENGTH = 64

_FILE_NAME = re.compile(r"(?P<name>.+)_sr(?P<rate>\d+)_hop(?P<hop>\d+)_nfft(?P<n_fft>\d+)(?P<stream>_stream)?\.onnx")
_RESERVED_TOKEN = re.compile(r"(sr|hop|nfft)(?P<rest>.+)")


@dataclass(frozen=True, kw_only=True)
class FileGeometry:
    """The numbers in the name of an exported graph; `is_stream` marks one that converts block by block."""

    name: str
    sample_rate: int
    hop_length: int
    n_fft: int
    is_stream: bool = False

    @property
    def file_name(self) -> str:
        """Return `<name>_sr{rate}_hop{hop}_nfft{n_fft}.onnx`, with `_stream` before the dot for a stream."""
        kind = "_stream" if self.is_stream else ""
        return f"{self.name}_sr{self.sample_rate}_hop{self.hop_length}_nfft{self.n_fft}{kind}.onnx"


def geometry_at(name: str, rate: int, *, model_rate: int, model_n_fft: int) -> FileGeometry:
    """Describe a graph whose input and output rate differs from the rate of its generator.

    The rates must have passed check_rate.
    """
    n_fft = 2 * round(model_n_fft * rate / model_rate / 2)
    return FileGeometry(name=name, sample_rate=rate, hop_length=rate // FRAME_RATE, n_fft=n_fft)


def check_rate(rate: int) -> int:
    """Return the rate when a graph can have it.

    Raises:
        ConfigError: if it has no whole number of samples in 10 ms or is out of range.
    """
    if not 8000 <= rate <= 192000 or rate % FRAME_RATE:
        raise ConfigError(f"export.rates: {rate} is not possible; allowed: multiples of {FRAME_RATE}, 8000 to 192000")
    return rate


def check_stream_block(milliseconds: int) -> int:
    """Return the length of a block when a stream can have it.

    Raises:
        ConfigError: if it is no multiple of 20 ms, the frame of the content encoder, or out of range.
    """
    if milliseconds not in range(20, 1001, 20):
        raise ConfigError(f"export.stream_block_ms={milliseconds} is not possible; allowed: 20, 40, 60 ... 1000")
    return milliseconds


def check_voice_name(name: str) -> str:
    """Return the name when it can stand before `_sr..` in a file name.

    Raises:
        ConfigError: if it is empty, too long, has other characters than letters, digits, space, dot, dash and
            underscore, or holds a token such as sr2, hop3 or nfft9, which runtimes would read as a number of the graph.
    """
    if not re.fullmatch(r"\w(?:[\w .\-]*\w)?", name) or len(name) > MAX_NAME_LENGTH:
        raise ConfigError(
            f"name={name!r} cannot be used in a file name: use 1 to {MAX_NAME_LENGTH} letters, digits, spaces, dots, "
            "dashes or underscores, with a letter or digit at both ends"
        )
    for token in name.split("_"):
        match = _RESERVED_TOKEN.fullmatch(token)
        if match and _is_number(match["rest"]):
            raise ConfigError(
                f"name={name!r} contains {token!r}, which runtimes would read as a rate or size of the graph; "
                "choose another name"
            )
    return name


def parse_file_name(path: Path) -> FileGeometry:
    """Read the numbers back from the name of an exported graph.

    Raises:
        FormatError: if the file is not named `<name>_sr{rate}_hop{hop}_nfft{n_fft}.onnx`.
    """
    match = _FILE_NAME.fullmatch(path.name)
    if match is None:
        raise FormatError(f"{path.name} is not named <name>_sr<rate>_hop<hop>_nfft<n_fft>.onnx")
    return FileGeometry(
        name=match["name"],
        sample_rate=int(match["rate"]),
        hop_length=int(match["hop"]),
        n_fft=int(match["n_fft"]),
        is_stream=match["stream"] is not None,
    )


def is_stream_file(path: Path) -> bool:
    """Whether a file has the name of a streaming graph."""
    match = _FILE_NAME.fullmatch(path.name)
    return match is not None and match["stream"] is not None


@dataclass(frozen=True, kw_only=True)
class Speaker:
    """One voice inside a graph; `f0_median_hz` is 0 when it is not known."""

    id: int
    name: str
    f0_median_hz: float


def speaker_number(wanted: Any, names: Sequence[str], key: str, place: str) -> int:
    """Return the speaker_id that a user means: a name, or a number where no other speaker has that for a name.

    Args:
        wanted: a text is a name; what was typed as a number is a name first.
        names: of the speakers; the index is the speaker_id.
        key: setting for messages.
        place: where the names come from, for messages.
    Raises:
        ConfigError: if there is none, or a number is one speaker's name and another's number.
    """
    by_name = names.index(str(wanted)) if not isinstance(wanted, bool) and str(wanted) in names else None
    is_number = isinstance(wanted, int) and not isinstance(wanted, bool) and 0 <= wanted < len(names)
    if by_name is not None and is_number and by_name != wanted:
        raise ConfigError(
            f"{key}={wanted} is the name of speaker {by_name} and the number of speaker {names[wanted]!r}; type the "
            f"name in quotes: {key}=\"'{wanted}'\" or {key}=\"'{names[wanted]}'\""
        )
    if by_name is not None:
        return by_name
    if is_number:
        return int(wanted)
    shown = [f"{index} {name}" for index, name in enumerate(names[:10])] + ["..."] * (len(names) > 10)
    raise ConfigError(f"{key}={wanted!r} is not in {place}; it has: {', '.join(shown) or 'no names'}")


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
        flavour: kind of graph, see utils.export.graph_kinds.
        encoder: identity of the content encoder in the graph.
        pitch: identity of the pitch tracker in the graph.
        defaults: values of the controls when a caller gives none.
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
    except ValueError as error:
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


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
