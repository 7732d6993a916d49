"""Convolutions over time that see nothing of what comes later, with the weights of centred ones.

What a centred convolution reads of later frames it reads of the newest one here: the sum of those weights is added to
its own. A trained network so starts from what it would say if the sound stood still.
"""

import torch
from torch import Tensor, nn

from models.layers.streaming import Memory


def folded_kernel(convolution: nn.Conv1d) -> Tensor:
    """Return the weights [taps, out, in / groups] of the causal convolution, the newest frame last."""
    weight = convolution.weight.permute(2, 0, 1)
    reach = weight.shape[0] // 2
    return torch.cat([weight[:reach], weight[reach:].sum(dim=0, keepdim=True)])


def convolve(convolution: nn.Conv1d, x: Tensor, memory: Memory, name: str) -> Tensor:
    """Return [B, F, out] of [B, F, in]."""
    kernel = folded_kernel(convolution)
    taken = _neighbourhoods(x, len(kernel), memory, name).flatten(2)
    assert convolution.bias is not None
    return torch.matmul(taken, kernel.transpose(1, 2).flatten(0, 1)) + convolution.bias


def convolve_depthwise(convolution: nn.Conv1d, x: Tensor, memory: Memory, name: str) -> Tensor:
    """Return [B, F, C] of [B, F, C] by a convolution with as many groups as channels."""
    kernel = folded_kernel(convolution)[..., 0]
    assert convolution.bias is not None
    return (_neighbourhoods(x, len(kernel), memory, name) * kernel).sum(dim=2) + convolution.bias


def _neighbourhoods(x: Tensor, taps: int, memory: Memory, name: str) -> Tensor:
    """Return [B, F, taps, C]: each frame of [B, F, C] behind those before it."""
    longer = memory.extend(name, x, taps - 1)
    places = torch.arange(int(x.shape[1]), device=x.device)[:, None] + torch.arange(taps, device=x.device)
    return longer[:, places]
