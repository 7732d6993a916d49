"""Tiny HuBERTs with seeded random weights, in the files in which the true ones are passed on."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from utils.features.content.hubert_files import POSITIONS
from utils.features.content.hubert_network import HubertNetwork, HubertSizes

TINY: dict[str, Any] = {
    "model_type": "hubert", "conv_dim": [8] * 7, "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
    "conv_stride": [5, 2, 2, 2, 2, 2, 2], "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2,
    "intermediate_size": 24, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4,
}  # fmt: skip
LARGE_KIND = {"feat_extract_norm": "layer", "conv_bias": True, "do_stable_layer_norm": True}


def tiny_config(**changes: Any) -> dict[str, Any]:
    return {**TINY, **changes}


def tiny_weights(
    config: dict[str, Any], *, projection_dim: int | None = 4, seed: int = 0, is_calm: bool = False
) -> dict[str, Tensor]:
    """Return a whole network under transformers' names, the weight of its positions normalised as in files.

    Large random biases make many layers deaf to their input; `is_calm` gives weights with which they are not.
    """
    sizes = HubertSizes.from_config(config)
    network = HubertNetwork(sizes, layer=sizes.num_hidden_layers, projection_dim=projection_dim)
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, value in network.state_dict().items():
        scale = 1.0 if value.dim() < 2 else 1.5 * value[0].numel() ** -0.5
        tensors[name] = scale * torch.randn(value.shape, generator=generator)
        if is_calm and value.dim() == 1:
            tensors[name] = 0.1 * tensors[name] + float("norm" in name and name.endswith("weight"))
        elif is_calm and name.startswith("encoder.layers"):
            tensors[name] *= 0.3
    direction = tensors.pop(POSITIONS + "weight")
    tensors[POSITIONS + "parametrizations.weight.original1"] = direction
    tensors[POSITIONS + "parametrizations.weight.original0"] = 0.5 + torch.rand(
        1, 1, direction.shape[2], generator=generator
    )
    return tensors


def write_hubert(
    folder: Path, *, projection_dim: int | None = 4, seed: int = 0, is_calm: bool = False, **changes: Any
) -> Path:
    """Write a transformers folder."""
    folder.mkdir(parents=True, exist_ok=True)
    config = tiny_config(**changes)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    weights = tiny_weights(config, projection_dim=projection_dim, seed=seed, is_calm=is_calm)
    save_file(weights, str(folder / "model.safetensors"), {"format": "pt"})
    return folder


def fairseq_names(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a network's tensors under the names of fairseq's file, with what else that file has."""
    names = (
        ("feature_projection.projection.", "post_extract_proj."), ("feature_projection.layer_norm.", "layer_norm."),
        ("encoder.pos_conv_embed.conv.parametrizations.weight.original0", "encoder.pos_conv.0.weight_g"),
        ("encoder.pos_conv_embed.conv.parametrizations.weight.original1", "encoder.pos_conv.0.weight_v"),
        ("encoder.pos_conv_embed.conv.", "encoder.pos_conv.0."), (".attention.", ".self_attn."),
        (".feed_forward.intermediate_dense.", ".fc1."), (".feed_forward.output_dense.", ".fc2."),
    )  # fmt: skip
    renamed = {}
    for name, value in weights.items():
        if name.startswith("feature_extractor."):
            name = name.replace(".conv.", ".0.").replace(".layer_norm.", ".2.")
        elif name.startswith("encoder.layers."):
            name = name.replace("final_layer_norm", "final?").replace(".layer_norm", ".self_attn_layer_norm")
            name = name.replace("final?", "final_layer_norm")
        for ours, theirs in names:
            name = name.replace(ours, theirs)
        renamed[name] = value
    return renamed | {"mask_emb": torch.zeros(16), "label_embs_concat": torch.zeros(3, 4)}
