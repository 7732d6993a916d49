"""HuBERT's network (Hsu et al. 2021) up to one of its layers, under the parameter names of the library transformers.

The base size normalises the first convolution over time and each block after its residual sums; the large sizes
normalise every convolution over channels and each block before them. Both are here, dropout and masking are not: they
belong to training.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from utils.errors import FormatError

MOST_FRAMES = 1500  # 30 s: up to here every frame sees every other
CONTEXT_FRAMES = 250  # 5 s seen to either side of a part of a longer recording


@dataclass(frozen=True, kw_only=True)
class HubertSizes:
    """Sizes and kinds of a HuBERT; the names are those of transformers' config.json, the defaults those of the base."""

    conv_dim: tuple[int, ...] = (512,) * 7
    conv_kernel: tuple[int, ...] = (10, 3, 3, 3, 3, 2, 2)
    conv_stride: tuple[int, ...] = (5, 2, 2, 2, 2, 2, 2)
    conv_bias: bool = False
    feat_extract_norm: str = "group"
    feat_extract_activation: str = "gelu"
    feat_proj_layer_norm: bool = True
    hidden_size: int = 768
    hidden_act: str = "gelu"
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    num_conv_pos_embeddings: int = 128
    num_conv_pos_embedding_groups: int = 16
    conv_pos_batch_norm: bool = False
    do_stable_layer_norm: bool = False
    layer_norm_eps: float = 1e-5

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Read the content of a config.json.

        Raises:
            FormatError: if it describes another kind of network.
        """
        kind = config.get("model_type", "hubert")
        values = {name: config[name] for name in cls.__dataclass_fields__ if name in config}
        if kind != "hubert":
            raise FormatError(f"its config.json says model_type={kind!r}, not hubert")
        try:
            lists = {name: tuple(int(item) for item in values[name]) for name in _LISTS if name in values}
            wrong = [name for name, value in values.items() if name not in _LISTS and not _is_of_kind(name, value)]
            if wrong:
                raise ValueError(f"{wrong[0]}={str(values[wrong[0]])[:40]!r}")
            sizes = cls(**values | lists)
            counts = {len(sizes.conv_dim), len(sizes.conv_kernel), len(sizes.conv_stride)}
            is_known = (
                len(counts) == 1
                and (sizes.feat_extract_activation, sizes.hidden_act) == ("gelu", "gelu")
                and sizes.feat_extract_norm in ("group", "layer")
                and sizes.hidden_size % sizes.num_attention_heads == 0
                and not sizes.conv_pos_batch_norm
            )
        except (TypeError, ValueError, ArithmeticError) as error:
            raise FormatError(f"its config.json holds a value of a wrong kind ({error})") from error
        if not is_known:
            raise FormatError("its config.json describes a variant of HuBERT that is not known here")
        return sizes

    @property
    def hop_length(self) -> int:
        """Samples from one frame to the next."""
        product = 1
        for stride in self.conv_stride:
            product *= stride
        return product

    @property
    def window_length(self) -> int:
        """Samples that one frame of the convolutions sees; fewer give no frame at all."""
        length = 1
        for kernel, stride in zip(reversed(self.conv_kernel), reversed(self.conv_stride), strict=True):
            length = (length - 1) * stride + kernel
        return length


_LISTS = ("conv_dim", "conv_kernel", "conv_stride")
_MOST = 2**20  # of any size or count


def _is_of_kind(name: str, value: Any) -> bool:
    """Whether a value of a config.json is of the kind of the default, and no absurd size."""
    default = HubertSizes.__dataclass_fields__[name].default
    if isinstance(default, float):
        return isinstance(value, int | float) and 0 < value < 1
    if isinstance(default, int) and not isinstance(default, bool):
        return type(value) is int and 0 < value <= _MOST
    return type(value) is type(default)


class HubertNetwork(nn.Module):
    """Audio to the hidden frames of one layer.

    Args:
        sizes: of the whole network.
        layer: the layer whose output is wanted, counted from 1; later ones are not built.
        projection_dim: size of a linear projection of that output (`final_proj`), or None for none.
    """

    def __init__(self, sizes: HubertSizes, *, layer: int, projection_dim: int | None = None) -> None:
        super().__init__()
        self.sizes = sizes
        self.feature_extractor = Convolutions(sizes)
        self.feature_projection = Projection(sizes)
        self.encoder = Transformer(sizes, layer)
        self.final_proj = nn.Linear(sizes.hidden_size, projection_dim) if projection_dim is not None else None

    def forward(self, audio: Tensor) -> Tensor:
        """Return [B, F, D] of audio [B, T] at 16 kHz, F = floor((T - window_length) / hop_length) + 1."""
        hidden = self.encoder(self.feature_projection(self.feature_extractor(audio)))
        return hidden if self.final_proj is None else self.final_proj(hidden)


class Convolutions(nn.Module):
    """From samples to frames."""

    def __init__(self, sizes: HubertSizes) -> None:
        super().__init__()
        self.conv_layers = nn.ModuleList()
        for index, channels in enumerate(sizes.conv_dim):
            before = sizes.conv_dim[index - 1] if index else 1
            kernel, stride = sizes.conv_kernel[index], sizes.conv_stride[index]
            norm: nn.Module | None = nn.LayerNorm(channels) if sizes.feat_extract_norm == "layer" else None
            if sizes.feat_extract_norm == "group" and index == 0:
                norm = nn.GroupNorm(channels, channels)
            self.conv_layers.append(NormedConvolution(before, channels, kernel, stride, sizes.conv_bias, norm))

    def forward(self, audio: Tensor) -> Tensor:
        """Return [B, F, C] of audio [B, T]."""
        x = audio.unsqueeze(1)
        for layer in self.conv_layers:
            x = layer(x)
        return x.transpose(1, 2)


class NormedConvolution(nn.Module):
    """A convolution, a norm over time, over channels or none, and GELU."""

    def __init__(
        self, before: int, channels: int, kernel: int, stride: int, has_bias: bool, norm: nn.Module | None
    ) -> None:
        super().__init__()
        self.conv = nn.Conv1d(before, channels, kernel, stride=stride, bias=has_bias)
        self.layer_norm = norm

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, C', F] of [B, C, T]."""
        x = self.conv(x)
        if isinstance(self.layer_norm, nn.LayerNorm):
            x = self.layer_norm(x.transpose(1, 2)).transpose(1, 2)
        elif self.layer_norm is not None:
            x = self.layer_norm(x)
        return functional.gelu(x)


class Projection(nn.Module):
    """From the width of the convolutions to that of the transformer."""

    def __init__(self, sizes: HubertSizes) -> None:
        super().__init__()
        width = sizes.conv_dim[-1]
        self.layer_norm = nn.LayerNorm(width, eps=sizes.layer_norm_eps) if sizes.feat_proj_layer_norm else None
        self.projection = nn.Linear(width, sizes.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, F, D] of [B, F, C]."""
        return self.projection(x if self.layer_norm is None else self.layer_norm(x))


class Transformer(nn.Module):
    """Positions by a convolution, then blocks up to the layer that is wanted."""

    def __init__(self, sizes: HubertSizes, num_layers: int) -> None:
        super().__init__()
        self.is_prenorm = sizes.do_stable_layer_norm
        # transformers normalises the output of the last block alone in this kind, and names it with that block
        self.is_last = num_layers == sizes.num_hidden_layers
        self.pos_conv_embed = Positions(sizes)
        self.layer_norm = nn.LayerNorm(sizes.hidden_size, eps=sizes.layer_norm_eps)
        self.layers = nn.ModuleList(Block(sizes) for _ in range(num_layers))

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, F, D] of [B, F, D]."""
        x = x + self.pos_conv_embed(x)
        if not self.is_prenorm:
            x = self.layer_norm(x)
        for layer in self.layers:
            x = layer(x)
        return self.layer_norm(x) if self.is_prenorm and self.is_last else x


class Positions(nn.Module):
    """A wide grouped convolution over time, from which the blocks learn where they are."""

    def __init__(self, sizes: HubertSizes) -> None:
        super().__init__()
        kernel, groups = sizes.num_conv_pos_embeddings, sizes.num_conv_pos_embedding_groups
        self.conv = nn.Conv1d(sizes.hidden_size, sizes.hidden_size, kernel, padding=kernel // 2, groups=groups)
        self.surplus = 1 - kernel % 2  # an even kernel gives one frame more

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, F, D] of [B, F, D]."""
        y = self.conv(x.transpose(1, 2))
        if self.surplus:
            y = y[:, :, : -self.surplus]
        return functional.gelu(y).transpose(1, 2)


class Block(nn.Module):
    """Attention and a perceptron, each added to its input."""

    def __init__(self, sizes: HubertSizes) -> None:
        super().__init__()
        self.is_prenorm = sizes.do_stable_layer_norm
        self.attention = Attention(sizes.hidden_size, sizes.num_attention_heads)
        self.layer_norm = nn.LayerNorm(sizes.hidden_size, eps=sizes.layer_norm_eps)
        self.feed_forward = FeedForward(sizes.hidden_size, sizes.intermediate_size)
        self.final_layer_norm = nn.LayerNorm(sizes.hidden_size, eps=sizes.layer_norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, F, D] of [B, F, D]."""
        if self.is_prenorm:
            x = x + self.attention(self.layer_norm(x))
            return x + self.feed_forward(self.final_layer_norm(x))
        x = self.layer_norm(x + self.attention(x))
        return self.final_layer_norm(x + self.feed_forward(x))


class FeedForward(nn.Module):
    """Two linear layers with GELU between them."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.intermediate_dense = nn.Linear(width, inner)
        self.output_dense = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, F, D] of [B, F, D]."""
        return self.output_dense(functional.gelu(self.intermediate_dense(x)))


class Attention(nn.Module):
    """Self-attention over the whole recording, or over a part and 5 s around it where it is longer than 30 s.

    What RVC converts at once is at most about a minute; the parts keep memory proportional to the length.
    """

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.scale = (width // num_heads) ** -0.5
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.q_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, F, D] of [B, F, D]."""
        asking, seen = part_indices(x[0, :, 0])
        query, key, value = (self._split_heads(layer(x)) for layer in (self.q_proj, self.k_proj, self.v_proj))
        query, key, value = query[:, :, asking] * self.scale, key[:, :, seen], value[:, :, seen]
        share = torch.softmax(torch.matmul(query, key.transpose(3, 4)), dim=-1)
        result = torch.matmul(share, value).flatten(2, 3)[:, :, : x.shape[1]]
        return self.out_proj(result.transpose(1, 2).flatten(2))

    def _split_heads(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.num_heads, -1)).transpose(1, 2)


def part_indices(frames: Tensor) -> tuple[Tensor, Tensor]:
    """Return which frames ask and which they see, [P, size] and [P, span] int64, for P equal parts of [F].

    Frames beyond the last stand for it; up to MOST_FRAMES there is one part that sees all.
    """
    ones = torch.ones_like(frames, dtype=torch.int64)  # counted, not read from the shape: a traced graph keeps F free
    count = ones.sum()
    parts = torch.div(count + (MOST_FRAMES - 1), MOST_FRAMES, rounding_mode="floor")
    size = torch.div(count + parts - 1, parts, rounding_mode="floor")
    span = torch.minimum(size + 2 * CONTEXT_FRAMES, count)
    numbers = torch.cumsum(ones, dim=0) - 1
    firsts = numbers[:parts] * size
    asking = torch.minimum(firsts.unsqueeze(1) + numbers[:size], count - 1)
    begin = torch.minimum((firsts - CONTEXT_FRAMES).clamp(min=0), count - span)
    return asking, begin.unsqueeze(1) + numbers[:span]
