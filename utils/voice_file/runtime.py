"""Opening graphs with onnxruntime; imports no torch."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as _state

from utils.errors import FormatError
from utils.voice_file.metadata import METADATA_KEY, VoiceMetadata, metadata_from_json
from utils.voice_file.signature import GraphValue

# onnxruntime has no common base class for what it raises.
RUNTIME_ERRORS: tuple[type[Exception], ...] = (
    _state.Fail,
    _state.InvalidArgument,
    _state.InvalidGraph,
    _state.InvalidProtobuf,
    _state.NoModel,
    _state.NoSuchFile,
    _state.NotImplemented,
    _state.RuntimeException,
    _state.EPFail,
    UnicodeDecodeError,  # of its own message, which quotes a damaged name
)
_SEVERITY_ERROR = 3
CPU_PROVIDER = "CPUExecutionProvider"


class GraphSession(Protocol):
    """What is needed of an onnxruntime.InferenceSession."""

    def get_inputs(self) -> Sequence[Any]:
        """Return what must be given: objects with name, type and shape."""
        ...

    def get_outputs(self) -> Sequence[Any]:
        """Return what comes back."""
        ...

    def get_overridable_initializers(self) -> Sequence[Any]:
        """Return what may be given."""
        ...

    def get_modelmeta(self) -> Any:
        """Return an object with custom_metadata_map and producer_name."""
        ...

    def run(self, names: Any, feed: Any) -> Sequence[Any]:
        """Return the outputs of these names; all of them for None."""
        ...


class StoredTexts(NamedTuple):
    """The texts in a graph: metadata by key, and the program that made it."""

    values: Mapping[str, str]
    producer: str


def open_session(
    graph: Path | bytes, num_threads: int = 1, *, providers: Sequence[str] = (CPU_PROVIDER,)
) -> onnxruntime.InferenceSession:
    """Open a graph, on the CPU unless other providers are named.

    Args:
        graph: a file, or its bytes as runtimes that load from memory see it.
        num_threads: threads of one run.
        providers: of onnxruntime, the preferred one first; it leaves out what cannot be used, see get_providers().
    Raises:
        FormatError: if it is missing or onnxruntime cannot load it.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _SEVERITY_ERROR
    # A waiting thread must not take the processor from the audio thread beside it.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if isinstance(graph, Path) and not graph.is_file():
        raise FormatError(f"{graph} does not exist; give the path of an exported .onnx file")
    try:
        source = str(graph) if isinstance(graph, Path) else graph
        return onnxruntime.InferenceSession(source, options, providers=list(providers))
    except RUNTIME_ERRORS as error:
        where = graph if isinstance(graph, Path) else "the graph"
        raise FormatError(f"{where} cannot be loaded by onnxruntime: {str(error).splitlines()[0]}") from error


def stored_texts(session: GraphSession, source: str) -> StoredTexts:
    """Return the texts in a graph.

    Raises:
        FormatError: if they are no UTF-8; the message names `source`.
    """
    stored = session.get_modelmeta()
    try:
        return StoredTexts(stored.custom_metadata_map, stored.producer_name)
    except UnicodeDecodeError as error:
        raise FormatError(f"{source}: its metadata is no UTF-8 text; export the voice again") from error


def stored_metadata(session: GraphSession, source: str) -> VoiceMetadata | None:
    """Return what this workbench wrote into a graph; None for a graph of another program.

    Raises:
        FormatError: if it is damaged or of a later version; the message names `source`.
    """
    stored = stored_texts(session, source).values
    return metadata_from_json(stored[METADATA_KEY], source) if METADATA_KEY in stored else None


def graph_values(values: Iterable[Any]) -> list[GraphValue]:
    """Return inputs or outputs of a session as plain data."""
    return [GraphValue(value.name, value.type, tuple(value.shape or ())) for value in values]
