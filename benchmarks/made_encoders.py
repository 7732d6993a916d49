"""Content encoders of random weights in the two forms in which true ones are passed on: an ONNX file and a folder."""

import json
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import save_file

from utils.features.content.hubert_files import CONFIG, DIRECTIONS, LENGTHS, POSITIONS, WEIGHTS
from utils.features.content.hubert_network import HubertNetwork, HubertSizes

WINDOW, HOP, CHANNELS = 400, 320, 64  # samples at 16 kHz that a frame of a HuBERT sees, and from one to the next
NARROW = {"conv_dim": [8] * 7, "intermediate_size": 8, "num_conv_pos_embeddings": 16}


def onnx_encoder(path: Path, dim: int, seed: int = 0) -> Path:
    """Write an encoder as one file: two convolutions, audio [1, T] to features [1, F, D]."""
    random = np.random.default_rng(seed)
    weights = {
        "bands": random.normal(size=(CHANNELS, 1, WINDOW)) * WINDOW**-0.5 * 8,
        "mix": random.normal(size=(dim, CHANNELS, 1)) * CHANNELS**-0.5,
    }
    tensors = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    nodes = [
        helper.make_node("Unsqueeze", ["audio", "axis"], ["row"]),
        helper.make_node("Conv", ["row", "bands"], ["heard"], strides=[HOP]),
        helper.make_node("Tanh", ["heard"], ["bent"]),
        helper.make_node("Conv", ["bent", "mix"], ["mixed"]),
        helper.make_node("Transpose", ["mixed"], ["features"], perm=[0, 2, 1]),
    ]
    graph = helper.make_graph(
        nodes, "encoder",
        [helper.make_tensor_value_info("audio", TensorProto.FLOAT, [1, "T"])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [1, "F", dim])],
        [*tensors, numpy_helper.from_array(np.array([1], np.int64), "axis")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path))
    return path


def hubert_folder(folder: Path, layers: int, projection_dim: int | None = None, seed: int = 0) -> Path:
    """Write an encoder as a transformers folder: a HuBERT of 768 values a frame that is narrow everywhere else."""
    config = {"model_type": "hubert", "num_hidden_layers": layers, **NARROW}
    torch.manual_seed(seed)
    network = HubertNetwork(HubertSizes.from_config(config), layer=layers, projection_dim=projection_dim)
    tensors = {name: value.contiguous() for name, value in network.state_dict().items()}
    direction = tensors.pop(POSITIONS + "weight")
    tensors[POSITIONS + DIRECTIONS[0]] = direction
    tensors[POSITIONS + LENGTHS[0]] = direction.norm(dim=(0, 1), keepdim=True)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).write_text(json.dumps(config), encoding="utf-8")
    save_file(tensors, str(folder / WEIGHTS[0]), {"format": "pt"})
    return folder
