"""From traced nodes to the file that is delivered: simplify, name axes, drop traces of origin, defaults, metadata."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import onnx
from onnx import helper, numpy_helper

from utils.errors import ExportError
from utils.export.storage import store_without_loss
from utils.export.tracing import quiet
from utils.voice_file.controls import ControlDefaults, controls_with

PRODUCER = "voclo-trainer"
OLDEST_IR_VERSION = 8
# of the simplifier: five reshapes and shapes around each multiplication, to save an addition
SLOWER_REWRITES = ("fuse_matmul_add_bias_into_gemm", "fuse_matmul_add_bias_into_gemm_batched")


def finish_graph(
    traced: onnx.ModelProto,
    *,
    metadata: Mapping[str, str],
    axes: Mapping[str, Sequence[int | str]] | None = None,
    defaults: ControlDefaults | None = None,
    controls_as_inputs: bool = False,
    special: Collection[str] = (),
) -> onnx.ModelProto:
    """Return the graph that is delivered.

    Args:
        traced: nodes of a module; the controls are still plain inputs, so that they cannot be folded into constants.
        metadata: texts to store in the graph.
        axes: shapes of inputs and outputs to write into the graph; those that are absent stay as traced.
        defaults: values of the controls, which are overridable inputs then; None for a graph without controls.
        controls_as_inputs: whether the controls stay required inputs, without these defaults.
        special: names of the special controls that it has.
    Raises:
        ExportError: if it cannot be simplified, or a control was lost in tracing.
    """
    graph = _simplified(traced)
    _name_axes(graph, axes or {})
    _remove_traces_of_origin(graph)
    if defaults is not None:
        _attach_defaults(graph, defaults, special, as_inputs=controls_as_inputs)
    graph.producer_name, graph.producer_version = PRODUCER, ""
    # A newer IR version than the operators need would only shut out older runtimes.
    graph.ir_version = max(OLDEST_IR_VERSION, helper.find_min_ir_version_for(list(graph.opset_import)))
    helper.set_model_props(graph, dict(metadata))
    return graph


def save_graph(graph: onnx.ModelProto, path: Path) -> None:
    """Write the graph as one file with all weights inside, in the smallest form without loss.

    Raises:
        ExportError: if it exceeds the 2 GB that one file can hold.
    """
    store_without_loss(graph)
    if graph.ByteSize() >= 2**31:
        raise ExportError(f"{path.name} would have {graph.ByteSize()} bytes; one ONNX file holds at most 2 GB")
    path.write_bytes(graph.SerializeToString(deterministic=True))


def _simplified(traced: onnx.ModelProto) -> onnx.ModelProto:
    import onnxsim

    with quiet() as said:
        simplified, is_valid = onnxsim.simplify(traced, skipped_optimizers=list(SLOWER_REWRITES))
    if not is_valid:
        raise ExportError(f"onnxsim could not simplify the graph: {said.getvalue().strip() or 'no reason given'}")
    return simplified


def _name_axes(model: onnx.ModelProto, axes: Mapping[str, Sequence[int | str]]) -> None:
    """Write the shapes of inputs and outputs, and forget the shapes in between."""
    for value in (*model.graph.input, *model.graph.output):
        if value.name in axes:
            shape = value.type.tensor_type.shape
            del shape.dim[:]
            for axis in axes[value.name]:
                shape.dim.add(**({"dim_value": axis} if isinstance(axis, int) else {"dim_param": axis}))
    del model.graph.value_info[:]


def _attach_defaults(
    model: onnx.ModelProto, defaults: ControlDefaults, special: Collection[str], *, as_inputs: bool
) -> None:
    """Store a default beside each control unless all stay required; IR 4 calls it an overridable initializer."""
    present = {value.name for value in model.graph.input}
    plain = asdict(defaults)
    for control in controls_with(special):
        if control.name not in present:
            raise ExportError(f"the graph lost its input {control.name}: forward_audio does not use it")
        if not as_inputs:
            model.graph.initializer.append(numpy_helper.from_array(control.array(plain[control.name]), control.name))


def _remove_traces_of_origin(model: onnx.ModelProto) -> None:
    """Drop texts that the exporter writes about source files of the machine it ran on."""
    model.doc_string = ""
    model.graph.doc_string = ""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    for part in (*nested_nodes(model.graph), *model.graph.input, *model.graph.output, *model.graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]


def nested_nodes(graph: onnx.GraphProto) -> Iterable[onnx.NodeProto]:
    """Yield the nodes of a graph and of the graphs inside them."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from nested_nodes(inner)
