"""Where the student starts: the teacher's own weights, fitted to the student's frame rate.

The package moonshine-voice 0.0.69 (MIT) holds them in onnxruntime's flatbuffer format, the matrices as 8-bit integers.
Rates differ (41.7 and 50 frames a second), so kernels are read between their taps; training does the rest.
"""

import re
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from utils.errors import FormatError
from utils.features.content.network import STRIDES, ContentNetwork, Layer

TEACHER_STRIDES = (64, 3, 2)
NUMBER_TYPES = {1: np.float32, 2: np.uint8, 3: np.int8, 7: np.int64}  # of the ONNX tensor types, those that occur
MATRIX = re.compile(r"/layers\.(\d+)/(self_attn|mlp)/(q_proj|k_proj|v_proj|o_proj|fc1|fc2)/")
NAMES = {
    "self_attn.q_proj": "attention.query",
    "self_attn.k_proj": "attention.key",
    "self_attn.v_proj": "attention.value",
    "self_attn.o_proj": "attention.output",
    "mlp.fc1": "expand",
    "mlp.fc2": "project",
    "input_layernorm": "attention_norm",
    "post_attention_layernorm": "norm",
}


def read_moonshine(path: Path) -> dict[str, Tensor]:
    """Read the encoder's weights as float32, under the names that transformers gives them.

    Raises:
        FormatError: if a matrix is missing, as in another version of the package.
    """
    from onnxruntime.tools.ort_format_model.ort_flatbuffers_py.fbs.InferenceSession import InferenceSession

    graph = InferenceSession.GetRootAsInferenceSession(bytearray(path.read_bytes()), 0).Model().Graph()
    stored = {}
    for index in range(graph.InitializersLength()):
        tensor = graph.Initializers(index)
        if tensor.RawDataLength() and tensor.DataType() in NUMBER_TYPES:
            shape = [tensor.Dims(axis) for axis in range(tensor.DimsLength())]
            values = np.frombuffer(tensor.RawDataAsNumpy().tobytes(), NUMBER_TYPES[tensor.DataType()])
            stored[tensor.Name().decode()] = values.reshape(shape)
    found = {
        name.removesuffix("_add_tensor"): values
        for name, values in stored.items()
        if re.match(r"(layers\.|conv\d|layer_norm)", name)
    }
    for index in range(graph.NodesLength()):
        found |= _matrices(graph.Nodes(index), stored)
    found["groupnorm.weight"] = stored["onnx::Mul_2080"].reshape(-1)
    found["groupnorm.bias"] = stored["onnx::Add_2081"].reshape(-1)
    if sum(values.size for values in found.values()) != 7_681_248:
        raise FormatError(f"{path} is not the tiny English encoder of moonshine-voice 0.0.69")
    return {name: torch.from_numpy(values.astype(np.float32)) for name, values in found.items()}


def _matrices(node: Any, stored: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the matrices [out, in] of a node of the graph, none for most."""
    inputs = [node.Inputs(index).decode() for index in range(node.InputsLength())]
    named = MATRIX.match(node.Outputs(0).decode()) if node.OutputsLength() else None
    quantized = [
        name.removesuffix("_quantized") for name in inputs if re.fullmatch(r"onnx::MatMul_\d+_quantized", name)
    ]
    if not named or not quantized:
        return {}
    name = quantized[0]
    values = (stored[f"{name}_quantized"].astype(np.float32) - stored[f"{name}_zero_point"]) * stored[f"{name}_scale"]
    return {f"layers.{named[1]}.{named[2]}.{named[3]}.weight": values.T}


def start_from(network: ContentNetwork, weights: dict[str, Tensor], level: tuple[float, float]) -> None:
    """Fill a network with the teacher's weights; the head keeps its own.

    Args:
        network: of the teacher's sizes.
        weights: of read_moonshine.
        level: mean and standard deviation over channels and time of what the teacher's group norm sees.
    """
    mean, deviation = level
    scale = weights["groupnorm.weight"] / deviation
    shift = weights["groupnorm.bias"] - scale * mean
    # the norm with fixed statistics is a gain and an offset before the second convolution, which takes them over
    widen = weights["conv2.weight"] * scale[None, :, None]
    state = {
        "filters.weight": weights["conv1.weight"],
        "widen.weight": resample_kernel(widen, network.widen.kernel_size[0], _spacing(1)),
        "widen.bias": weights["conv2.bias"] + torch.einsum("oik,i->o", weights["conv2.weight"], shift),
        "narrow.weight": resample_kernel(weights["conv3.weight"], network.narrow.kernel_size[0], _spacing(2)),
        "narrow.bias": weights["conv3.bias"],
        "norm.weight": weights["layer_norm.weight"],
        **{f"head.{name}": value for name, value in network.head.state_dict().items()},
    }
    attention = cast(Layer, network.layers[0]).attention
    rows = rotary_rows(attention.num_heads, attention.head_dim, attention.rotary_dim)
    for name, values in weights.items():
        match = re.fullmatch(r"layers\.(\d+)\.(.+)\.(weight|bias)", name)
        if match:
            is_turned = match[2] in ("self_attn.q_proj", "self_attn.k_proj")
            state[f"layers.{match[1]}.{NAMES[match[2]]}.{match[3]}"] = values[rows] if is_turned else values
    network.load_state_dict(state)


def rotary_rows(num_heads: int, head_dim: int, rotary_dim: int) -> list[int]:
    """Return the rows of a query or key matrix in the student's order.

    The student turns the components n and n + half together, the teacher 2n and 2n + 1.
    """
    order = [*range(0, rotary_dim, 2), *range(1, rotary_dim, 2), *range(rotary_dim, head_dim)]
    return [head * head_dim + row for head in range(num_heads) for row in order]


def _spacing(stage: int) -> float:
    """Return the student's distance between the taps of a stage over the teacher's."""
    return float(np.prod(STRIDES[:stage]) / np.prod(TEACHER_STRIDES[:stage]))


def resample_kernel(kernel: Tensor, size: int, spacing: float) -> Tensor:
    """Read kernels [O, I, K] at `size` positions around their middle; keeps the response to a constant."""
    middle = (kernel.shape[2] - 1) / 2
    position = middle + (torch.arange(size) - (size - 1) / 2) * spacing
    padded = torch.nn.functional.pad(kernel, (1, 1))
    position = (position + 1).clamp(0, padded.shape[2] - 1)
    before = position.floor().long().clamp(max=padded.shape[2] - 2)
    values = padded[..., before] * (1 - (position - before)) + padded[..., before + 1] * (position - before)
    return values * spacing
