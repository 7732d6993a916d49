"""The graph of a stream: one block of audio and the state in, one block and the next state out."""

from collections.abc import Mapping

import onnx
import torch

from models.base import BaseVoiceConversionModel
from models.conversion import AudioConverter
from models.stream_conversion import StreamConverter
from utils.audio.graph_form import graph_form
from utils.export.finishing import finish_graph
from utils.export.graph import control_tensors
from utils.export.tracing import GraphOptions, Signature, trace
from utils.export.whole_numbers import use_whole_numbers
from utils.features.frontend import AnalysisFrontend
from utils.features.stream_frontend import StreamFrontend, StreamResampler, smallest_block
from utils.voice_file.controls import CONTROLS, ControlDefaults
from utils.voice_file.signature import AUDIO_INPUT, AUDIO_OUTPUT, NEXT_STATE_OUTPUT, STATE_INPUT


def stream_converter(converter: AudioConverter, *, block_ms: int = 20) -> StreamConverter:
    """Return a voice as a stream, in evaluation mode.

    Args:
        converter: at the rate of the stream.
        block_ms: length of a block, a multiple of 20.
    Raises:
        ExportError: if its generator cannot convert a stream.
        ConfigError: if its encoder or pitch tracker has no form for streams.
    """
    generator, frontend = converter.generator, converter.frontend
    assert isinstance(generator, BaseVoiceConversionModel) and isinstance(frontend, AnalysisFrontend)
    return StreamConverter(
        generator.form("stream"),
        StreamFrontend(frontend, converter.highpass),
        converter.retrieval,
        StreamResampler(converter.resampler),
        block=smallest_block(converter.io_rate) * (block_ms // 20),
        defaults=converter.defaults,
        automatic_pitch=converter.automatic_pitch,
    ).eval()


def build_stream_graph(
    voice: StreamConverter, *, defaults: ControlDefaults, options: GraphOptions, metadata: Mapping[str, str]
) -> onnx.ModelProto:
    """Trace and finish the graph of a stream; every shape in it is fixed.

    Args:
        voice: in evaluation mode.
        defaults: values of the overridable inputs.
        options: the version of the operators; the exporter is always torchscript.
        metadata: texts to store in the graph.
    Raises:
        ExportError: if the network cannot be traced or simplified.
    """
    state = torch.zeros(1, voice.state_size)
    signature = Signature(
        values=(torch.zeros(1, voice.block), state, *control_tensors(ControlDefaults())),
        inputs=(AUDIO_INPUT, STATE_INPUT, *(control.name for control in CONTROLS)),
        outputs=(AUDIO_OUTPUT, NEXT_STATE_OUTPUT),
        free_axes={},
    )
    traced = trace(graph_form(voice).eval(), signature, opset=options.opset)
    graph = finish_graph(traced, metadata=metadata, defaults=defaults, controls_as_inputs=options.controls_as_inputs)
    use_whole_numbers(graph)
    return graph
