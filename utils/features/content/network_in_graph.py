"""The network of the built-in content encoder as an exported graph has it: convolutions of images one pixel high."""

from typing import cast

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from models.layers.image import apply_linear, convolve, from_image, gelu, to_image
from models.layers.local_attention import AttentionPlan
from utils.features.content.network import PAD_LEFT, PAD_RIGHT, STRIDES, ContentNetwork, Layer


class ContentNetworkInGraph(nn.Module):
    """ContentNetwork in the operators that onnxruntime runs fast.

    Args:
        network: whose weights are used.
    """

    def __init__(self, network: ContentNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, audio: Tensor, *, future: int | None = None) -> Tensor:
        """Return [B, F, dim] of audio [B, F * 320]; see ContentNetwork."""
        network = self.network
        x = self._stem(functional.pad(audio, (PAD_LEFT, PAD_RIGHT)).unsqueeze(1))
        seen = network.future if future is None else future
        layers = [cast(Layer, layer) for layer in network.layers]
        plan = layers[0].attention.plan(x, seen)
        for layer in layers:
            x = self._layer(layer, x, seen, plan)
        features: Tensor = network.head(network.norm(x))
        return features

    def _stem(self, audio: Tensor) -> Tensor:
        """Return frames [B, F, channels] of audio [B, 1, T]."""
        filters, widen, narrow = self.network.filters, self.network.widen, self.network.narrow
        x = torch.tanh(convolve(audio.unsqueeze(2), filters.weight, stride=STRIDES[0]))
        x = gelu(convolve(x, widen.weight, widen.bias, stride=STRIDES[1]))
        x = gelu(convolve(x, narrow.weight, narrow.bias, stride=STRIDES[2]))
        return from_image(x).squeeze(1)

    @staticmethod
    def _layer(layer: Layer, x: Tensor, future: int, plan: AttentionPlan) -> Tensor:
        """Return [B, F, C] from [B, F, C]."""
        x = x + layer.attention(layer.attention_norm(x), future, plan)
        hidden = gelu(apply_linear(layer.expand, to_image(layer.norm(x).unsqueeze(1))))
        return x + from_image(apply_linear(layer.project, hidden)).squeeze(1)
