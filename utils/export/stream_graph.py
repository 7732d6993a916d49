"""The graph of a stream: one block of audio and the state in, one block and the next state out."""

import io
from collections.abc import Mapping

import onnx
import torch
from onnx import helper

from models.stream_conversion import StreamConverter
from utils.audio.graph_form import graph_form
from utils.errors import ExportError
from utils.export.graph import (
    PRODUCER,
    GraphOptions,
    attach_defaults,
    control_tensors,
    no_native_output,
    power_of_two,
    quiet,
    remove_traces_of_origin,
    simplify,
)
from utils.voice_file.controls import CONTROLS, ControlDefaults
from utils.voice_file.signature import AUDIO_INPUT, AUDIO_OUTPUT, NEXT_STATE_OUTPUT, STATE_INPUT


def build_stream_graph(
    voice: StreamConverter, *, defaults: ControlDefaults, options: GraphOptions, metadata: Mapping[str, str]
) -> onnx.ModelProto:
    """Trace, simplify and finish the graph of a stream; every shape in it is fixed.

    Args:
        voice: in evaluation mode.
        defaults: values of the overridable inputs.
        options: the version of the operators; the exporter is always torchscript.
        metadata: texts to store in the graph.
    Raises:
        ExportError: if the network cannot be traced or simplified.
    """
    inputs = (torch.zeros(1, voice.block), torch.zeros(1, voice.state_size), *control_tensors(ControlDefaults()))
    buffer = io.BytesIO()
    # known to every operator set as Pow, but this exporter has no entry for it
    torch.onnx.register_custom_op_symbolic("aten::exp2", power_of_two, options.opset)
    with quiet(), no_native_output(), torch.no_grad():
        try:
            torch.onnx.export(
                graph_form(voice).eval(),
                inputs,
                buffer,  # type: ignore[arg-type]  # the tracing exporter accepts a stream
                dynamo=False,
                opset_version=options.opset,
                input_names=[AUDIO_INPUT, STATE_INPUT, *(control.name for control in CONTROLS)],
                output_names=[AUDIO_OUTPUT, NEXT_STATE_OUTPUT],
            )
        except torch.onnx.OnnxExporterError as error:
            raise ExportError(f"the network cannot be traced as a stream: {str(error).splitlines()[0]}") from error
    graph = simplify(onnx.load_model_from_string(buffer.getvalue()))
    del graph.graph.value_info[:]
    remove_traces_of_origin(graph)
    attach_defaults(graph, defaults)
    graph.producer_name, graph.producer_version = PRODUCER, ""
    graph.ir_version = max(8, helper.find_min_ir_version_for(list(graph.opset_import)))
    helper.set_model_props(graph, dict(metadata))
    return graph
