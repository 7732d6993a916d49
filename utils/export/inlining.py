"""Content encoders from ONNX files, put inside the graph of a voice.

Files of others convert one recording at a time and have that written into their shapes. So each becomes the body of a
loop over the batch, its weights beside the voice's own.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, compose, helper, inliner, numpy_helper, version_converter

from utils.errors import ExportError
from utils.features.content.onnx_file import PLACEHOLDER, PLACEHOLDER_DOMAIN

STANDARD_DOMAINS = ("", "ai.onnx")


def inline_content_files(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with a loop over the file's graph in place of each node that stands for a file.

    Raises:
        ExportError: if the file is gone, uses operators outside the standard or cannot be brought to the model's opset.
    """
    places = [index for index, node in enumerate(model.graph.node) if node.domain == PLACEHOLDER_DOMAIN]
    if not places:
        return model
    opset = next(item.version for item in model.opset_import if item.domain in STANDARD_DOMAINS)
    nodes = list(model.graph.node)
    for number, index in reversed(list(enumerate(places))):
        node = nodes[index]
        assert node.op_type == PLACEHOLDER
        settings = {item.name: helper.get_attribute_value(item) for item in node.attribute}
        prefix = f"content{number}/"
        encoder = _encoder(Path(settings["path"].decode("utf-8")), opset, prefix)
        model.graph.initializer.extend(encoder.graph.initializer)
        nodes[index : index + 1] = _loop(encoder.graph, node, settings, prefix)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    kept = [item for item in model.opset_import if item.domain != PLACEHOLDER_DOMAIN]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    return model


def _encoder(path: Path, opset: int, prefix: str) -> onnx.ModelProto:
    try:
        model = onnx.load(str(path))
    except (OSError, DecodeError) as error:
        raise ExportError(f"the content encoder {path} cannot be read ({error}); put it back") from error
    if model.functions:
        model = inliner.inline_local_functions(model)
    foreign = sorted({item.domain for item in model.opset_import} & _used_domains(model.graph.node))
    if foreign:
        raise ExportError(
            f"the content encoder {path.name} uses operators of {', '.join(foreign)}, which not every runtime has; "
            "export it again without optimisation, or give it in transformers format"
        )
    have = next(item.version for item in model.opset_import if item.domain in STANDARD_DOMAINS)
    if have != opset:
        try:
            model = version_converter.convert_version(model, opset)
        except (RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:160]
            raise ExportError(
                f"the content encoder {path.name} has opset {have} and cannot be brought to {opset} ({reason}); "
                "choose another export.opset, or give the encoder in transformers format"
            ) from error
    return compose.add_prefix(model, prefix)


def _used_domains(nodes: Iterable[onnx.NodeProto]) -> set[str]:
    found = set()
    for node in nodes:
        found.add(node.domain)
        for attribute in node.attribute:
            found |= _used_domains(attribute.g.node)
    return found - set(STANDARD_DOMAINS)


def _loop(graph: onnx.GraphProto, node: onnx.NodeProto, settings: dict[str, Any], prefix: str) -> list[onnx.NodeProto]:
    """Return the nodes that give [B, F, D] of [B, T]: for each row the file's graph, its results stacked."""

    def own(name: str) -> str:
        return f"{prefix}loop/{name}"

    def constant(name: str, values: Any, kind: str = "int64") -> onnx.NodeProto:
        import numpy as np

        tensor = numpy_helper.from_array(np.array(values, dtype=kind), own(name))
        return helper.make_node("Constant", [], [own(name)], value=tensor)

    audio, result = node.input[0], node.output[0]
    given, taken = prefix + settings["input_name"].decode("utf-8"), prefix + settings["output_name"].decode("utf-8")
    axes = [0, 1] if settings["input_rank"] == 3 else [0]
    stored = {item.name for item in graph.initializer}
    if given in stored:
        raise ExportError("the content encoder's input has a default value; export it again without")
    order = [0, 2, 1] if settings["is_channels_first"] else [0, 1, 2]
    body = helper.make_graph(
        [
            helper.make_node("Gather", [audio, own("row")], [own("audio")], axis=0),
            helper.make_node("Unsqueeze", [own("audio"), own("axes")], [given]),
            *graph.node,
            helper.make_node("Transpose", [taken], [own("ordered")], perm=order),
            helper.make_node("Squeeze", [own("ordered"), own("first")], [own("features")]),
            helper.make_node("Identity", [own("go on")], [own("goes on")]),
        ],
        own("body"),
        [
            helper.make_tensor_value_info(own("row"), TensorProto.INT64, []),
            helper.make_tensor_value_info(own("go on"), TensorProto.BOOL, []),
        ],
        [
            helper.make_tensor_value_info(own("goes on"), TensorProto.BOOL, []),
            helper.make_tensor_value_info(own("features"), TensorProto.FLOAT, [None, None]),
        ],
    )
    return [
        constant("axes", axes),
        constant("first", [0]),
        constant("zero", 0),
        constant("true", True, "bool"),
        helper.make_node("Shape", [audio], [own("shape")]),
        helper.make_node("Gather", [own("shape"), own("zero")], [own("rows")], axis=0),
        helper.make_node("Loop", [own("rows"), own("true")], [result], body=body),
    ]
