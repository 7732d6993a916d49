"""Narrow the hidden layers of ConvNeXt blocks: leave out the units that the others can stand in for.

Optimal brain surgeon (Hassibi and Stork 1993) on whole units: over frames of a dataset, the unit whose loss changes the
layer's output least goes, and the weights of the others make up for it by least squares; then the next.
"""

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from models.layers.convnext import ConvNeXtBlock

DAMPING = 1e-4  # of the mean square of the units


@torch.no_grad()
def narrow_blocks(network: nn.Module, batches: Iterable[Any], expansion: int) -> float:
    """Reduce the hidden layers of all blocks in a network, in place.

    Args:
        network: whose blocks are wider than that; it is called with each batch.
        batches: what the units are compared on; a few thousand frames for each unit that stays are enough.
        expansion: width of the hidden layers as a multiple of the blocks' channels.
    Returns:
        Mean over the blocks of the squared error of their outputs, as a part of the outputs' squares.
    """
    blocks = [block for block in network.modules() if isinstance(block, ConvNeXtBlock)]
    moments = _moments(network, blocks, batches)
    lost = [_narrow_block(block, moment, expansion) for block, moment in zip(blocks, moments, strict=True)]
    return sum(lost) / len(lost)


def _moments(network: nn.Module, blocks: list[ConvNeXtBlock], batches: Iterable[Any]) -> list[Tensor]:
    """Return for each block the mean products [H + 1, H + 1] of its hidden units, a unit that is always 1 the last."""
    sums = [torch.zeros(block.expand.out_features + 1, block.expand.out_features + 1).double() for block in blocks]

    def collect(index: int, made: Tensor) -> None:
        hidden = functional.gelu(made.float(), approximate="tanh").flatten(0, -2)
        hidden = torch.cat([hidden, torch.ones_like(hidden[:, :1])], dim=1)
        sums[index] += (hidden.T @ hidden).double()

    hooks = [
        block.expand.register_forward_hook(lambda _, __, made, index=index: collect(index, made))
        for index, block in enumerate(blocks)
    ]
    try:
        for batch in batches:
            network(batch)
    finally:
        for hook in hooks:
            hook.remove()
    return [total / total[-1, -1] for total in sums]  # the last counts the frames


def _narrow_block(block: ConvNeXtBlock, moment: Tensor, expansion: int) -> float:
    """Leave out units of one block; return the part of its output's squares that is lost."""
    weight = torch.cat([block.project.weight, block.project.bias[:, None]], dim=1).double()
    gain = block.scale.double().square()[:, None]  # of the squared error of each output
    power = float((gain * ((weight @ moment) * weight)).sum())
    kept, weight = remaining_units(weight, moment, gain, expansion * block.project.out_features)
    error = torch.cat([block.project.weight, block.project.bias[:, None]], dim=1).double() - weight
    block.expand = _linear(block.expand.weight[kept], block.expand.bias[kept])
    block.project = _linear(weight[:, kept].float(), weight[:, -1].float())
    return float((gain * ((error @ moment) * error)).sum()) / power


def remaining_units(weight: Tensor, moment: Tensor, gain: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Choose the units that stay.

    Args:
        weight: [C, H + 1], of H units and a constant one that always stays, at the end.
        moment: [H + 1, H + 1], their mean products.
        gain: [C, 1], what a squared error of an output counts.
        count: units that stay.
    Returns:
        Indices [count] of the units that stay in rising order, and the weights [C, H + 1], 0 for the others.
    """
    units = weight.shape[1] - 1
    damping = DAMPING * moment.diagonal().mean()
    inverse = torch.linalg.inv(moment + damping * torch.eye(units + 1, dtype=moment.dtype))
    weight, gone = weight.clone(), torch.zeros(units + 1, dtype=torch.bool)
    for _ in range(units - count):
        cost = (gain * weight.square()).sum(dim=0) / inverse.diagonal()
        cost[gone] = torch.inf
        unit = int(cost[:-1].argmin())
        row = inverse[unit] / inverse[unit, unit]
        weight -= weight[:, unit : unit + 1] * row
        inverse = inverse - inverse[:, unit : unit + 1] * row
        gone[unit] = True
        weight[:, gone] = 0.0
        # of what is gone nothing may come back by rounding
        inverse[gone], inverse[:, gone] = 0.0, 0.0
        inverse[gone, gone] = 1.0
    return torch.nonzero(~gone[:-1]).flatten(), weight


def _linear(weight: Tensor, bias: Tensor) -> torch.nn.Linear:
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0])
    layer.load_state_dict({"weight": weight, "bias": bias})
    return layer
