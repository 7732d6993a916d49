"""From a PyTorch module to one ONNX graph whose only required input is audio."""

import contextlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn

from utils.audio.graph_form import graph_form
from utils.errors import ConfigError, ExportError
from utils.export.inlining import inline_content_files
from utils.export.storage import store_without_loss
from utils.voice_file.controls import CONTROLS, ControlDefaults
from utils.voice_file.signature import AUDIO_INPUT, AUDIO_OUTPUT, OPSETS

Exporter = Literal["torchscript", "dynamo"]
EXPORTERS: tuple[Exporter, ...] = ("torchscript", "dynamo")
PRODUCER = "voclo-trainer"
TRACE_SECONDS = 1.013  # no multiple of a frame, so that no length is special in the traced graph
# of the simplifier: five reshapes and shapes around each multiplication, to save an addition
SLOWER_REWRITES = ("fuse_matmul_add_bias_into_gemm", "fuse_matmul_add_bias_into_gemm_batched")
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class GraphOptions:
    """How a graph is made.

    Attributes:
        opset: version of the ONNX operators.
        exporter: "torchscript" (tracing; takes any network whose lengths follow from its input's) or "dynamo"
            (torch.export; refuses slices whose ends are computed, which frame-wise audio code is full of).
    """

    opset: int = 17
    exporter: Exporter = "torchscript"

    def __post_init__(self) -> None:
        if self.opset not in OPSETS:
            raise ConfigError(
                f"export.opset={self.opset} is out of range; allowed: {OPSETS.start} to {OPSETS.stop - 1}, "
                "so that runtimes of the last years can load the voice"
            )
        if self.exporter not in EXPORTERS:
            raise ConfigError(f"export.exporter={self.exporter!r} is unknown; allowed: {', '.join(EXPORTERS)}")
        if self.exporter == "dynamo" and self.opset < 18:
            raise ConfigError(
                f"export.exporter=dynamo cannot make opset {self.opset}; set export.opset=18 or choose torchscript"
            )


def control_tensors(values: ControlDefaults) -> tuple[Tensor, ...]:
    """Return the scalars in the order of CONTROLS."""
    plain = asdict(values)
    return tuple(torch.tensor(plain[control.name], dtype=getattr(torch, control.kind)) for control in CONTROLS)


def build_graph(
    voice: nn.Module,
    *,
    sample_rate: int,
    defaults: ControlDefaults,
    options: GraphOptions,
    metadata: Mapping[str, str],
) -> onnx.ModelProto:
    """Trace, simplify and finish the graph of a voice.

    Args:
        voice: module from audio [B, T] and the scalars of CONTROLS to [B, T], such as an AudioConverter.
        sample_rate: rate of the graph's input and output.
        defaults: values of the overridable inputs.
        options: exporter and operator version.
        metadata: texts to store in the graph.
    Raises:
        ExportError: if the network cannot be traced with free batch and time axes or simplified.
    """
    traced = _trace(graph_form(voice).eval(), sample_rate, options)
    # Simplified while the controls are still plain inputs: they cannot be folded into constants.
    graph = simplify(inline_content_files(traced))
    _name_axes(graph)
    remove_traces_of_origin(graph)
    attach_defaults(graph, defaults)
    graph.producer_name, graph.producer_version = PRODUCER, ""
    # A newer IR version than the operators need would only shut out older runtimes.
    graph.ir_version = max(8, helper.find_min_ir_version_for(list(graph.opset_import)))
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


def _trace(module: nn.Module, sample_rate: int, options: GraphOptions) -> onnx.ModelProto:
    audio = 0.1 * torch.randn(2, round(TRACE_SECONDS * sample_rate), generator=torch.Generator().manual_seed(0))
    inputs = (audio, *control_tensors(ControlDefaults()))
    trace = _trace_with_dynamo if options.exporter == "dynamo" else _trace_with_torchscript
    with quiet() as said, no_native_output(), torch.no_grad():
        try:
            return trace(module, inputs, options.opset)
        except torch.onnx.OnnxExporterError as error:
            log.debug("exporter output:\n%s", said.getvalue())
            other = next(name for name in EXPORTERS if name != options.exporter)
            raise ExportError(
                f"the {options.exporter} exporter refused the network: {_reason(error)}; "
                f"repair the network or try export.exporter={other}"
            ) from error


def _trace_with_dynamo(module: nn.Module, inputs: tuple[Tensor, ...], opset: int) -> onnx.ModelProto:
    # DYNAMIC, not AUTO: an axis that the network fixes is an error instead of a graph for one length.
    free = torch.export.Dim.DYNAMIC
    program = torch.onnx.export(
        module,
        inputs,
        dynamo=True,
        opset_version=opset,
        input_names=[AUDIO_INPUT, *(control.name for control in CONTROLS)],
        output_names=[AUDIO_OUTPUT],
        dynamic_shapes=({0: free, 1: free}, *(None for _ in CONTROLS)),
        external_data=False,
        verbose=False,
    )
    if program is None:
        raise ExportError("the dynamo exporter returned nothing")
    return program.model_proto


def _trace_with_torchscript(module: nn.Module, inputs: tuple[Tensor, ...], opset: int) -> onnx.ModelProto:
    # Known to every operator set as Pow, but this exporter has no entry for it.
    torch.onnx.register_custom_op_symbolic("aten::exp2", power_of_two, opset)
    axes = {0: "batch", 1: "time"}
    buffer = io.BytesIO()
    torch.onnx.export(
        module,
        inputs,
        buffer,  # type: ignore[arg-type]  # the tracing exporter accepts a stream
        dynamo=False,
        opset_version=opset,
        input_names=[AUDIO_INPUT, *(control.name for control in CONTROLS)],
        output_names=[AUDIO_OUTPUT],
        dynamic_axes={AUDIO_INPUT: axes, AUDIO_OUTPUT: axes},
    )
    return onnx.load_model_from_string(buffer.getvalue())


def power_of_two(graph: Any, exponent: Any) -> Any:
    return graph.op("Pow", graph.op("Constant", value_t=torch.tensor(2.0)), exponent)


def simplify(graph: onnx.ModelProto) -> onnx.ModelProto:
    import onnxsim

    with quiet() as said:
        simplified, is_valid = onnxsim.simplify(graph, skipped_optimizers=list(SLOWER_REWRITES))
    if not is_valid:
        raise ExportError(f"onnxsim could not simplify the graph: {said.getvalue().strip() or 'no reason given'}")
    return simplified


def _name_axes(model: onnx.ModelProto) -> None:
    """Give input and output the shape [batch, time] and forget the shapes in between."""
    for value in (model.graph.input[0], model.graph.output[0]):
        shape = value.type.tensor_type.shape
        del shape.dim[:]
        shape.dim.add().dim_param = "batch"
        shape.dim.add().dim_param = "time"
    del model.graph.value_info[:]


def graph_nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return the nodes of a graph and of the graphs inside them."""
    found = []
    for node in graph.node:
        found.append(node)
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                found.extend(graph_nodes(inner))
    return found


def attach_defaults(model: onnx.ModelProto, defaults: ControlDefaults) -> None:
    """Store a default beside each control; IR version 4 and later call this an overridable initializer."""
    present = {value.name for value in model.graph.input}
    plain = asdict(defaults)
    for control in CONTROLS:
        if control.name not in present:
            raise ExportError(f"the graph lost its input {control.name}: the voice does not use it")
        value = control.array(plain[control.name])
        model.graph.initializer.append(numpy_helper.from_array(value, control.name))


def remove_traces_of_origin(model: onnx.ModelProto) -> None:
    """Drop texts that the exporter writes about source files of the machine it ran on."""
    model.doc_string = ""
    model.graph.doc_string = ""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    for part in (*graph_nodes(model.graph), *model.graph.input, *model.graph.output, *model.graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]


@contextlib.contextmanager
def quiet() -> Iterator[io.StringIO]:
    """Keep what exporters print, warn and log in a buffer; exceptions pass through."""
    said = io.StringIO()
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield said
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def no_native_output() -> Iterator[None]:
    """Discard what libraries write to file descriptor 1: on an error torch dumps the whole graph there."""
    sys.stdout.flush()
    saved = os.dup(1)
    with Path(os.devnull).open("wb") as nothing:
        os.dup2(nothing.fileno(), 1)
    try:
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)


def _reason(error: BaseException) -> str:
    """Return the innermost message of a chain of exporter errors in one line."""
    innermost = error
    while innermost.__cause__ is not None:
        innermost = innermost.__cause__
    lines = [line.strip() for line in str(innermost).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(innermost).__name__


def trace_module(
    module: nn.Module,
    values: tuple[Tensor, ...],
    *,
    inputs: list[str],
    output: str,
    axes: Mapping[str, Mapping[int, str]],
    opset: int,
) -> onnx.ModelProto:
    """Trace and simplify a module with one output, for graphs of other kinds than from audio to audio.

    Args:
        module: in evaluation mode.
        values: one tensor for each input.
        inputs: names of the inputs.
        output: name of the output.
        axes: names of the free axes of each input.
        opset: version of the operators.
    Raises:
        ExportError: if it cannot be traced or simplified.
    """
    buffer = io.BytesIO()
    with quiet() as said, no_native_output(), torch.no_grad():
        try:
            torch.onnx.export(
                module,
                values,
                buffer,  # type: ignore[arg-type]  # the tracing exporter accepts a stream
                dynamo=False,
                opset_version=opset,
                input_names=inputs,
                output_names=[output],
                dynamic_axes={name: dict(free) for name, free in axes.items()},
            )
        except torch.onnx.OnnxExporterError as error:
            log.debug("exporter output:\n%s", said.getvalue())
            raise ExportError(f"the exporter refused the network: {_reason(error)}") from error
    graph = simplify(onnx.load_model_from_string(buffer.getvalue()))
    remove_traces_of_origin(graph)
    del graph.graph.value_info[:]
    return graph
