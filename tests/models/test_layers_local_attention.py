"""Attention in chunks equals attention over everything with a band mask."""

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from models.layers.local_attention import LocalAttention


def make(past: int = 5) -> LocalAttention:
    torch.manual_seed(0)
    return LocalAttention(12, num_heads=2, rotary_dim=4, past=past, frame_angle=0.8)


def everything_at_once(layer: LocalAttention, x: Tensor, future: int) -> Tensor:
    """The same by the definition: all pairs of frames, those too far apart masked."""
    frames = x.shape[1]
    query, key, value = (
        linear(x).view(1, frames, layer.num_heads, layer.head_dim).transpose(1, 2)
        for linear in (layer.query, layer.key, layer.value)
    )
    scores = torch.empty(1, layer.num_heads, frames, frames)
    for i in range(frames):
        for j in range(frames):
            # a pair of components is a complex number; a position turns it
            product = torch.zeros(1, layer.num_heads)
            for pair in range(layer.rotary_dim // 2):
                part = [pair, pair + layer.rotary_dim // 2]
                a, b = (torch.view_as_complex(z[:, :, n, part].contiguous()) for z, n in ((query, i), (key, j)))
                turn = torch.polar(torch.tensor(1.0), (i - j) * layer.rates[pair])
                product = product + (a * turn * b.conj()).real
            rest = (query[:, :, i, layer.rotary_dim :] * key[:, :, j, layer.rotary_dim :]).sum(-1)
            is_seen = -layer.past <= j - i <= future
            scores[:, :, i, j] = (product + rest) / math.sqrt(layer.head_dim) if is_seen else -math.inf
    mixed = torch.softmax(scores, dim=-1) @ value
    return layer.output(mixed.transpose(1, 2).reshape(1, frames, -1))


@pytest.mark.slow
@pytest.mark.parametrize("frames", [1, 7, 64, 65, 130])
@pytest.mark.parametrize("future", [0, 3])
def test_chunks_give_what_the_definition_gives(frames: int, future: int) -> None:
    layer = make()
    x = torch.randn(1, frames, 12, generator=torch.Generator().manual_seed(frames))

    with torch.no_grad():
        assert_close(layer(x, future), everything_at_once(layer, x, future), atol=1e-5, rtol=1e-4)


def test_gradients_reach_every_weight() -> None:
    layer = make()

    layer(torch.randn(2, 70, 12, generator=torch.Generator().manual_seed(0)), 2).square().sum().backward()

    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in layer.parameters())


def test_clips_of_a_batch_do_not_see_each_other() -> None:
    layer = make()
    x = torch.randn(2, 70, 12, generator=torch.Generator().manual_seed(0))

    with torch.no_grad():
        assert_close(layer(x, 2)[1:], layer(x[1:], 2))


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="fit together"):
        LocalAttention(12, num_heads=5, rotary_dim=4, past=5)
