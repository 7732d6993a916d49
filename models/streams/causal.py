"""Convolutions over time that see nothing of what comes later, with the weights of centred ones.

What a centred convolution reads of later frames it reads of the newest one here: the sum of those weights is added to
its own. A trained network so starts from what it would say if the sound stood still.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.layers.stream_memory import Memory


def folded_kernel(convolution: nn.Conv1d) -> Tensor:
    """Return the weights [taps, out, in / groups] of the causal convolution, the newest frame last."""
    weight = convolution.weight.permute(2, 0, 1)
    reach = weight.shape[0] // 2
    return torch.cat([weight[:reach], weight[reach:].sum(dim=0, keepdim=True)])


def convolve_together(convolutions: Sequence[nn.Conv1d], x: Tensor, memory: Memory, name: str) -> Tensor:
    """Return [B, F, out], the sum of convolutions of equal length that read [B, F, in] side by side."""
    kernel, bias = _joined(convolutions)
    taken = _neighbourhoods(x, len(kernel), memory, name)
    return torch.matmul(taken.flatten(2), kernel.transpose(1, 2).flatten(0, 1)) + bias


def convolve_rows_together(convolutions: Sequence[nn.Conv1d], x: Tensor, memory: Memory, name: str) -> Tensor:
    """Return [F, out], what convolve_together returns of one stream, in one operator of a graph."""
    kernel, bias = _joined(convolutions)
    taken = _neighbourhoods(x, len(kernel), memory, name)
    return torch.addmm(bias, taken.reshape(int(x.shape[1]), -1), kernel.transpose(1, 2).flatten(0, 1))


def convolve_rows(convolution: nn.Conv1d, x: Tensor, memory: Memory, name: str) -> Tensor:
    """Return [F, C] of [F, C] by a convolution with as many groups as channels; what convolve_depthwise does, in the
    fewest operators of a graph."""
    assert convolution.bias is not None
    kernel = torch.cat([folded_kernel(convolution)[..., 0], convolution.bias[None]])  # the bias reads a row of ones
    frames, past = int(x.shape[0]), len(kernel) - 2
    before = memory.recall_rows(name, (past, int(x.shape[1])), x)
    longer = torch.cat([before, x, torch.ones_like(kernel[:1])])
    memory.keep_rows(longer, frames, past)
    indices = torch.arange(frames, device=x.device)[:, None] + torch.arange(past + 1, device=x.device)
    indices = torch.cat([indices, torch.full_like(indices[:, :1], frames + past)], dim=1)
    return (longer[indices] * kernel).sum(dim=1)


def convolve_depthwise(convolution: nn.Conv1d, x: Tensor, memory: Memory, name: str) -> Tensor:
    """Return [B, F, C] of [B, F, C] by a convolution with as many groups as channels."""
    kernel = folded_kernel(convolution)[..., 0]
    assert convolution.bias is not None
    return (_neighbourhoods(x, len(kernel), memory, name) * kernel).sum(dim=2) + convolution.bias


def _joined(convolutions: Sequence[nn.Conv1d]) -> tuple[Tensor, Tensor]:
    """Return the kernel [taps, out, in] and the bias [out] of convolutions that read side by side."""
    kernel = torch.cat([folded_kernel(convolution) for convolution in convolutions], dim=2)
    biases = [convolution.bias for convolution in convolutions if convolution.bias is not None]
    return kernel, torch.stack(biases).sum(dim=0)


def _neighbourhoods(x: Tensor, taps: int, memory: Memory, name: str) -> Tensor:
    """Return [B, F, taps, C]: each frame of [B, F, C] behind those before it."""
    longer = memory.extend(name, x, taps - 1)
    indices = torch.arange(int(x.shape[1]), device=x.device)[:, None] + torch.arange(taps, device=x.device)
    return longer[:, indices]
