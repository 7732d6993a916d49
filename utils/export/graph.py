"""The graph from audio to audio: its only required input is audio, the controls have defaults."""

from collections.abc import Collection, Mapping
from dataclasses import asdict

import onnx
import torch
from torch import Tensor, nn

from utils.audio.graph_form import graph_form
from utils.errors import ExportError
from utils.export.finishing import finish_graph
from utils.export.inlining import inline_content_files
from utils.export.tracing import EXPORTERS, GraphOptions, Signature, trace
from utils.voice_file.controls import ControlDefaults, controls_with
from utils.voice_file.signature import AUDIO_INPUT, AUDIO_OUTPUT

TRACE_SECONDS = 1.013  # no multiple of a frame, so that no length is special in the traced graph
AXES = ("batch", "time")


def control_tensors(values: ControlDefaults, special: Collection[str] = ()) -> tuple[Tensor, ...]:
    """Return the scalars in the order of CONTROLS, and then those of the special controls of these names."""
    plain = asdict(values)
    return tuple(
        torch.tensor(plain[control.name], dtype=getattr(torch, control.kind)) for control in controls_with(special)
    )


def build_graph(
    voice: nn.Module,
    *,
    sample_rate: int,
    defaults: ControlDefaults,
    options: GraphOptions,
    metadata: Mapping[str, str],
) -> onnx.ModelProto:
    """Trace and finish the graph of a voice.

    Args:
        voice: module from audio [B, T] and the scalars of CONTROLS to [B, T], such as an AudioConverter; its
            attribute special_controls, if it has one, names those that it takes besides.
        sample_rate: rate of the graph's input and output.
        defaults: values of the overridable inputs.
        options: exporter and operator version.
        metadata: texts to store in the graph.
    Raises:
        ExportError: if the network cannot be traced with free batch and time axes or simplified.
    """
    audio = 0.1 * torch.randn(2, round(TRACE_SECONDS * sample_rate), generator=torch.Generator().manual_seed(0))
    free = dict(enumerate(AXES))
    special: Collection[str] = getattr(voice, "special_controls", ())
    signature = Signature(
        values=(audio, *control_tensors(ControlDefaults(), special)),
        inputs=(AUDIO_INPUT, *(control.name for control in controls_with(special))),
        outputs=(AUDIO_OUTPUT,),
        free_axes={AUDIO_INPUT: free, AUDIO_OUTPUT: free},
    )
    try:
        traced = trace(graph_form(voice).eval(), signature, opset=options.opset, exporter=options.exporter)
    except ExportError as error:
        other = next(name for name in EXPORTERS if name != options.exporter)
        raise ExportError(f"{error}; repair the network or try export.exporter={other}") from error
    return finish_graph(
        inline_content_files(traced),
        metadata=metadata,
        axes={AUDIO_INPUT: AXES, AUDIO_OUTPUT: AXES},
        defaults=defaults,
        controls_as_inputs=options.controls_as_inputs,
        special=special,
    )
