"""What an ONNX file says before anything runs it, read from its bytes: needs neither onnx nor protobuf."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from utils.errors import FormatError

# Wire types: https://protobuf.dev/programming-guides/encoding; field numbers: onnx/onnx.proto of ONNX 1.16.
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MODEL_IR_VERSION, MODEL_GRAPH, MODEL_OPSET, MODEL_METADATA, MODEL_FUNCTION = 1, 7, 8, 14, 25
METADATA_KEY, METADATA_VALUE = 1, 2
OPSET_DOMAIN, OPSET_VERSION = 1, 2
GRAPH_NODE, GRAPH_INITIALIZER, GRAPH_SPARSE = 1, 5, 15
NODE_OPERATOR, NODE_ATTRIBUTE, NODE_DOMAIN = 4, 5, 7
ATTRIBUTE_TENSORS, ATTRIBUTE_GRAPHS = (5, 10), (6, 11)
SPARSE_TENSORS = (1, 2)
TENSOR_NAME, TENSOR_LOCATION = 8, 14
EXTERNAL = 1
FUNCTION_NODE = 7

Field = tuple[int, int | memoryview]


@dataclass
class FileContents:
    """What is in an ONNX file.

    Attributes:
        ir_version: version of the file format; 0 where the file does not say.
        opsets: operator set versions by domain; the standard domain is "".
        operators: (domain, type) of every node, also of nodes inside other nodes.
        num_nodes: how many nodes those are.
        external: names of tensors whose values are in another file.
        num_functions: local functions.
        metadata: texts that travel with the graph, by their key.
    """

    ir_version: int = 0
    opsets: dict[str, int] = field(default_factory=dict)
    operators: set[tuple[str, str]] = field(default_factory=set)
    num_nodes: int = 0
    external: list[str] = field(default_factory=list)
    num_functions: int = 0
    metadata: dict[str, str] = field(default_factory=dict)


def read_contents(path: Path) -> FileContents:
    """Read the structure of a model; weights are skipped, not copied.

    Raises:
        FormatError: if the file is cut or is no ONNX model.
    """
    contents = FileContents()
    try:
        found = _read_model(memoryview(path.read_bytes()), contents)
    except (IndexError, ValueError) as error:
        raise FormatError(f"{path.name} is damaged or no ONNX model ({error}); export the voice again") from error
    if not found:
        raise FormatError(f"{path.name} holds no graph; export the voice again")
    return contents


def _read_model(data: memoryview, contents: FileContents) -> bool:
    has_graph = False
    for number, value in _fields(data):
        if isinstance(value, int):
            contents.ir_version = value if number == MODEL_IR_VERSION else contents.ir_version
            continue
        if number == MODEL_GRAPH:
            has_graph = True
            _read_graph(value, contents)
        elif number == MODEL_OPSET:
            entries = dict(_fields(value))
            version = entries.get(OPSET_VERSION, 0)
            contents.opsets[_text(entries.get(OPSET_DOMAIN))] = version if isinstance(version, int) else 0
        elif number == MODEL_METADATA:
            texts = dict(_fields(value))
            contents.metadata[_text(texts.get(METADATA_KEY))] = _text(texts.get(METADATA_VALUE))
        elif number == MODEL_FUNCTION:
            contents.num_functions += 1
            for inner, node in _fields(value):
                if inner == FUNCTION_NODE and isinstance(node, memoryview):
                    _read_node(node, contents)
    return has_graph


def _read_graph(data: memoryview, contents: FileContents) -> None:
    for number, value in _fields(data):
        if isinstance(value, int):
            continue
        if number == GRAPH_NODE:
            _read_node(value, contents)
        elif number == GRAPH_INITIALIZER:
            _read_tensor(value, contents)
        elif number == GRAPH_SPARSE:
            for inner, tensor in _fields(value):
                if inner in SPARSE_TENSORS and isinstance(tensor, memoryview):
                    _read_tensor(tensor, contents)


def _read_node(data: memoryview, contents: FileContents) -> None:
    operator, domain = "", ""
    for number, value in _fields(data):
        if isinstance(value, int):
            continue
        if number == NODE_OPERATOR:
            operator = _text(value)
        elif number == NODE_DOMAIN:
            domain = _text(value)
        elif number == NODE_ATTRIBUTE:
            _read_attribute(value, contents)
    contents.operators.add((domain, operator))
    contents.num_nodes += 1


def _read_attribute(data: memoryview, contents: FileContents) -> None:
    for number, value in _fields(data):
        if isinstance(value, int):
            continue
        if number in ATTRIBUTE_TENSORS:
            _read_tensor(value, contents)
        elif number in ATTRIBUTE_GRAPHS:
            _read_graph(value, contents)


def _read_tensor(data: memoryview, contents: FileContents) -> None:
    entries = dict(_fields(data))
    if entries.get(TENSOR_LOCATION) == EXTERNAL:
        contents.external.append(_text(entries.get(TENSOR_NAME)) or "without a name")


def _fields(data: memoryview) -> Iterator[Field]:
    """Yield (number, value) of a message; fixed-width values are passed over.

    Raises:
        IndexError, ValueError: if the bytes are no message.
    """
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            value, place = _varint(data, place)
            yield number, value
        elif wire == BYTES:
            length, place = _varint(data, place)
            if place + length > len(data):
                raise ValueError("it ends too early")
            yield number, data[place : place + length]
            place += length
        elif wire in (FIXED32, FIXED64):
            place += 4 if wire == FIXED32 else 8
        else:
            raise ValueError(f"wire type {wire}")


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 64 bits")


def _text(value: int | memoryview | None) -> str:
    return bytes(value).decode("utf-8", "replace") if isinstance(value, memoryview) else ""
