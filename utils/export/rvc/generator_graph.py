"""From an RVC generator to the graph that another program loads: features in, audio out."""

import onnx
import torch
from onnx import helper
from torch import Tensor, nn

from models.base import BaseVoiceConversionModel
from utils.audio.graph_form import graph_form
from utils.export.graph import PRODUCER, trace_module
from utils.export.precision import reduce_weights
from utils.voice_file.rvc_formats import CLIENT_KEY, FRAMES, OUTPUT, GeneratorShape, RvcFormat, inputs_of
from utils.voice_file.signature import HALF, INTEGER

TRACE_FRAMES = 37  # so that no length is special in the traced graph
TRACE_WINDOW = (5, 19, 23)


class GeneratorGraph(nn.Module):
    """The module that is traced: inputs and output as a rvc_format has them.

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
    voice: BaseVoiceConversionModel,
    rvc_format: RvcFormat,
    shape: GeneratorShape,
    *,
    precision: str,
    metadata: dict[str, str],
) -> onnx.ModelProto:
    """Trace, simplify and finish the graph of a generator.

    Args:
        voice: a generator of RVC, in evaluation mode.
        rvc_format: of the program.
        shape: of the generator.
        precision: "fp32", or "fp16" for half-precision features and weights with arithmetic in single precision.
        metadata: texts to store in the graph.
    Raises:
        ExportError: if the network cannot be traced or simplified.
    """
    wanted = inputs_of(rvc_format, shape, precision)
    names = [item.name for item in wanted]
    graph = trace_module(
        graph_form(GeneratorGraph(voice.form("features"), rvc_format, shape.has_f0)).eval(),
        trace_inputs(rvc_format, shape, precision),
        inputs=names,
        output=OUTPUT,
        axes={item.name: {item.shape.index(FRAMES): FRAMES} for item in wanted if FRAMES in item.shape},
        opset=rvc_format.opset,
    )
    axes = graph.graph.output[0].type.tensor_type.shape
    del axes.dim[:]
    for axis in (1, 1, "samples") if rvc_format.name == "rvc_webui" else ("samples",):
        axes.dim.add(**({"dim_value": axis} if isinstance(axis, int) else {"dim_param": axis}))
    if precision == "fp16":
        reduce_weights(graph, "fp16")
    graph.producer_name, graph.producer_version = PRODUCER, ""
    graph.ir_version = max(8, helper.find_min_ir_version_for(list(graph.opset_import)))
    helper.set_model_props(graph, metadata)
    return graph


def trace_inputs(rvc_format: RvcFormat, shape: GeneratorShape, precision: str = "fp32") -> tuple[Tensor, ...]:
    """Return tensors of every input for tracing."""
    draws = torch.Generator().manual_seed(0)
    values: list[Tensor] = []
    scalars = iter(TRACE_WINDOW)
    for item in inputs_of(rvc_format, shape, precision):
        size = [axis if isinstance(axis, int) else TRACE_FRAMES for axis in item.shape]
        if item.type != INTEGER:
            value = (
                100 + 200 * torch.rand(size, generator=draws)
                if item.name == "pitchf"
                else torch.randn(size, generator=draws)
            )
            values.append(value.half() if item.type == HALF else value)
        elif item.name == "pitch":
            values.append(torch.randint(1, 256, size, generator=draws))
        elif not item.shape:
            values.append(torch.tensor(next(scalars)))
        else:
            values.append(torch.full(size, TRACE_FRAMES if item.name in ("p_len", "phone_lengths") else 0))
    return tuple(values)


def graph_metadata(rvc_format: RvcFormat, client: str, own: dict[str, str]) -> dict[str, str]:
    """Return the texts of a graph: ours, and the client's where it reads one."""
    return {**own, **({CLIENT_KEY: client} if rvc_format.has_client_metadata else {})}
