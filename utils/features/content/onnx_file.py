"""A HuBERT-like encoder that somebody exported as an ONNX file, such as vec-768-layer-12.onnx of RVC's tools."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from utils.audio.frames import FEATURE_RATE
from utils.errors import ConfigError, WorkbenchError
from utils.features.content.base import ContentEncoder
from utils.features.content.hubert_files import explain
from utils.features.content.hubert_frames import HUBERT_HOP, identity, on_our_frames, prepared
from utils.features.onnx_hash import sha256_of_onnx
from utils.features.onnx_runs import run_within

PLACEHOLDER_DOMAIN, PLACEHOLDER = "voclo_trainer", "ContentFile"
SHORTEST = 400  # samples that one frame of a HuBERT sees
PROBES = (FEATURE_RATE, FEATURE_RATE + 50 * HUBERT_HOP)  # samples: the lengths differ by a second, so by 50 frames


@dataclass(frozen=True, kw_only=True)
class Interface:
    """How a file wants its audio and gives its features, one recording at a time.

    Attributes:
        input_rank: 2 for [1, T], 3 for [1, 1, T].
        is_channels_first: whether the output is [1, D, F] and not [1, F, D].
    """

    input_name: str
    input_rank: int
    output_name: str
    is_channels_first: bool
    dim: int


class OnnxContent(ContentEncoder):
    """The features of an ONNX file on 100 frames a second; see HubertContent for frames and padding.

    An exported voice takes the file's graph into its own (utils/export/inlining.py).

    Args:
        path: of the file.
        layer: what it gives, for the record; of several outputs the one whose name ends with this number.
        name: what datasets and exports record as the encoder's id.
        is_projected: for the record.
        is_normalized: whether audio is brought to zero mean and unit variance first.
    Raises:
        ConfigError: if the file is absent, no ONNX graph, or takes or gives something else.
    """

    def __init__(self, *, path: str, layer: int, name: str, is_projected: bool, is_normalized: bool) -> None:
        super().__init__()
        self.path = Path(path).expanduser().resolve()
        if not self.path.is_file():
            raise explain(ConfigError(f"content.path={path} is not a file"), name)
        self.layer, self.name = layer, name
        self.is_projected, self.is_normalized = is_projected, is_normalized
        self.session = _open(self.path, name)
        self.interface = _probe(self.session, self.path, layer)
        self.dim = self.interface.dim
        self.weights_sha256 = sha256_of_onnx(self.path)
        self.eval()

    @property
    def identity(self) -> dict[str, Any]:
        """Plain data that names the encoder, its file's hash and D."""
        return identity(self, self.weights_sha256)

    def forward(self, audio: Tensor) -> Tensor:
        """Return features [B, F, D] of audio [B, F * 160] at 16 kHz."""
        ready = prepared(audio, SHORTEST, is_normalized=self.is_normalized)
        return on_our_frames(_FileGraph.apply(ready, self), audio)

    def run(self, audio: Tensor) -> Tensor:
        """Return what the file gives for each row of [B, T], as [B, F', D] at 50 frames a second."""
        samples = audio.detach().cpu().numpy()
        rows = [_run(self.session, self.interface, samples[index : index + 1]) for index in range(len(samples))]
        return torch.from_numpy(np.concatenate(rows)).to(audio.device)


class _FileGraph(torch.autograd.Function):
    """Runs the file; in an exported graph, one node that stands for it until its graph is put there."""

    @staticmethod
    def forward(context: Any, audio: Tensor, encoder: OnnxContent) -> Tensor:
        """Return [B, F', D] of [B, T]."""
        return encoder.run(audio)

    @staticmethod
    def symbolic(graph: Any, audio: Any, encoder: OnnxContent) -> Any:
        """Return the node."""
        shape = encoder.interface
        node = graph.op(
            f"{PLACEHOLDER_DOMAIN}::{PLACEHOLDER}",
            audio,
            path_s=str(encoder.path),
            input_name_s=shape.input_name,
            input_rank_i=shape.input_rank,
            output_name_s=shape.output_name,
            is_channels_first_i=int(shape.is_channels_first),
        )
        return node.setType(audio.type().with_sizes([None, None, shape.dim]))


def _open(path: Path, name: str) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a kind for each reason, without a common base
        reason = " ".join(str(error).split())[:120]
        raise explain(ConfigError(f"content.path={path} is no ONNX graph ({reason})"), name) from error


def _probe(session: Any, path: Path, layer: int) -> Interface:
    """Find out by shapes and two trials what the file takes and gives."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    shown = ", ".join(f"{value.name} {value.type} {value.shape}" for value in inputs)
    if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) not in (2, 3):
        raise ConfigError(f"{path} takes {shown}; an encoder takes one float input of audio, [1, T] or [1, 1, T]")
    names = [value.name for value in outputs]
    chosen = names if len(names) == 1 else [name for name in names if re.search(rf"(?<!\d){layer}$", name)]
    if len(chosen) != 1:
        raise ConfigError(
            f"{path} gives {', '.join(names)}; none or more than one of them ends with content.layer={layer}"
        )
    first = Interface(
        input_name=inputs[0].name,
        input_rank=len(inputs[0].shape),
        output_name=chosen[0],
        is_channels_first=False,
        dim=0,
    )
    noise = 0.1 * np.random.default_rng(0).standard_normal((1, max(PROBES))).astype(np.float32)
    try:
        shapes = [_run(session, first, noise[:, :length]).shape for length in PROBES]
    except WorkbenchError:
        raise
    except Exception as error:  # as above
        reason = " ".join(str(error).split())[:160]
        raise ConfigError(
            f"{path} does not take 1 s and 2 s of audio ({reason}); export it with a free length"
        ) from error
    growing = [axis for axis in (1, 2) if len(shapes[0]) == 3 and shapes[1][axis] - shapes[0][axis] == 50]
    if len(growing) != 1 or abs(shapes[0][growing[0]] - 49) > 1:
        raise ConfigError(
            f"{path} gives {list(shapes[0])} for 1 s and {list(shapes[1])} for 2 s; 50 frames a second are needed"
        )
    is_channels_first = growing[0] == 2
    return Interface(
        input_name=first.input_name,
        input_rank=first.input_rank,
        output_name=first.output_name,
        is_channels_first=is_channels_first,
        dim=shapes[0][1 if is_channels_first else 2],
    )


def _run(session: Any, interface: Interface, row: np.ndarray) -> np.ndarray:
    audio = row if interface.input_rank == 2 else row[:, None]
    feed = {interface.input_name: audio}
    features: np.ndarray = run_within(session, [interface.output_name], feed, "the ONNX file of content.path")[0]
    return np.swapaxes(features, 1, 2) if interface.is_channels_first else features
