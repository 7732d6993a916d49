"""From an RVC generator to the graph that another program loads: features in, audio out."""

from collections.abc import Mapping

import onnx
import torch
from torch import Tensor, nn

from models.base import BaseVoiceConversionModel
from utils.audio.graph_form import graph_form
from utils.export.finishing import finish_graph
from utils.export.precision import reduce_weights
from utils.export.tracing import Signature, trace
from utils.voice_file.rvc_formats import FRAMES, OUTPUT, RvcFormat, RvcGraph
from utils.voice_file.signature import HALF, INTEGER, GraphValue

TRACE_FRAMES = 37  # so that no length is special in the traced graph
TRACE_WINDOW = {"skip_head": 5, "return_length": 19, "formant_length": 23}


class GeneratorGraph(nn.Module):
    """The module that is traced: inputs and output as a program has them.

    Args:
        decoder: the voice's form "features".
        rvc_format: of the program.
        has_f0: whether pitch is among the inputs.
    """

    def __init__(self, decoder: nn.Module, rvc_format: RvcFormat, has_f0: bool) -> None:
        super().__init__()
        self.decoder = decoder
        self.rvc_format = rvc_format
        self.has_f0 = has_f0

    def forward(self, content: Tensor, num_frames: Tensor, *others: Tensor) -> Tensor:
        """Return [1, 1, N] for RVC-WebUI and [N] within full scale for the others."""
        rest = list(others)
        pitch = (rest.pop(0), rest.pop(0)) if self.has_f0 else None
        speaker_id = rest.pop(0)
        content = content.float()
        if self.rvc_format.name == "rvc_webui":
            whole: Tensor = self.decoder(content, num_frames, pitch, speaker_id, prior_noise=rest[0])
            return whole.unsqueeze(1)
        part: Tensor = self.decoder(content, num_frames, pitch, speaker_id, window=tuple(rest) if rest else None)
        return part[0].clamp(-1.0, 1.0)


def build_generator_graph(
    voice: BaseVoiceConversionModel, graph: RvcGraph, *, metadata: Mapping[str, str]
) -> onnx.ModelProto:
    """Trace and finish the graph of a generator.

    Args:
        voice: a generator of RVC, in evaluation mode.
        graph: what it becomes; precision "fp16" means half-precision features and weights with arithmetic in single
            precision.
        metadata: texts to store in the graph.
    Raises:
        ExportError: if the network cannot be traced or simplified.
    """
    signature = Signature(
        values=trace_inputs(graph),
        inputs=tuple(value.name for value in graph.inputs),
        outputs=(OUTPUT,),
        free_axes={value.name: {value.shape.index(FRAMES): FRAMES} for value in graph.inputs if FRAMES in value.shape},
    )
    module = GeneratorGraph(voice.form("features"), graph.rvc_format, graph.shape.has_f0)
    traced = trace(graph_form(module).eval(), signature, opset=graph.rvc_format.opset)
    output = (1, 1, "samples") if graph.rvc_format.name == "rvc_webui" else ("samples",)
    finished = finish_graph(traced, metadata=metadata, axes={OUTPUT: output})
    if graph.precision == "fp16":
        reduce_weights(finished, "fp16")
    return finished


def trace_inputs(graph: RvcGraph) -> tuple[Tensor, ...]:
    """Return tensors of every input for tracing."""
    random = torch.Generator().manual_seed(0)
    return tuple(_trace_input(value, random) for value in graph.inputs)


def _trace_input(value: GraphValue, random: torch.Generator) -> Tensor:
    size = [axis if isinstance(axis, int) else TRACE_FRAMES for axis in value.shape]
    if value.name in TRACE_WINDOW:
        return torch.tensor(TRACE_WINDOW[value.name])
    if value.name == "pitch":
        return torch.randint(1, 256, size, generator=random)
    if value.type == INTEGER:
        return torch.full(size, TRACE_FRAMES if value.name in ("p_len", "phone_lengths") else 0)
    if value.name == "pitchf":
        return 100 + 200 * torch.rand(size, generator=random)
    noise = torch.randn(size, generator=random)
    return noise.half() if value.type == HALF else noise
