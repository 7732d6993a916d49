"""A graph as a runtime computes it that has no double precision."""

import onnx
from onnx import TensorProto, numpy_helper


def in_single_precision(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Return a graph in which every double is a float."""
    single = onnx.ModelProto()
    single.CopyFrom(graph)
    for tensor in single.graph.initializer:
        _reduce(tensor)
    for node in single.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                _reduce(attribute.t)
            elif node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.DOUBLE:
                attribute.i = TensorProto.FLOAT
    del single.graph.value_info[:]
    return single


def _reduce(tensor: onnx.TensorProto) -> None:
    if tensor.data_type == TensorProto.DOUBLE:
        values = numpy_helper.to_array(tensor).astype("float32")
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
