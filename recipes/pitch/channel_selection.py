"""Choose the channels of a pitch network that stay when it becomes narrower.

Of the channels of every layer, those are left out that the others can stand in for by least squares, and what the later
layers read of them is read from the others instead.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor

from utils.features.pitch.network import BLOCK_STARTS, LAST_BLOCK, NUM_CANDIDATES, READER, PitchNetwork


class Selection(NamedTuple):
    """Channels that stay, and a matrix [all, staying] that makes all of them by least squares."""

    kept: list[int]
    others: Tensor


def narrowed_weights(network: PitchNetwork, spectra: Tensor, channels: int) -> dict[str, Tensor]:
    """Return the weights of a network with fewer channels that starts near the given one.

    The channels that pass from block to block are the same everywhere; those inside a block are chosen for each.

    Args:
        network: the wide one.
        spectra: [B, 3, 128, F], sound on which the channels are compared.
        channels: how many stay.
    """
    readers = [*BLOCK_STARTS, READER]
    outside, inside = _second_moments(network, spectra)
    passed = _best(outside, [network.layer(index)[0] for index in readers], channels)
    weights = {name: value.detach().clone() for name, value in network.weights.items()}
    _select_outputs(weights, 0, passed)
    for moment, index in zip(outside, readers, strict=True):
        _move_inputs(weights, index, _stand_in(moment, passed))
    for moment, first in zip(inside, BLOCK_STARTS, strict=True):
        _select_outputs(weights, first + 1, passed)
        own = _best([moment], [weights[f"weight_{first + 1}"]], channels)
        _select_outputs(weights, first, own)
        _move_inputs(weights, first + 1, _stand_in(moment, own))
    return weights


@torch.no_grad()
def _second_moments(network: PitchNetwork, spectra: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Return mean products of channels [C, C]: before every block and after the last, then inside each."""
    outside, inside = [], []
    x = network.convolve(spectra, 0).relu()
    for first in BLOCK_STARTS:
        outside.append(_moment(x))
        inner = network.convolve(x, first).relu()
        inside.append(_moment(inner))
        x = (x + network.convolve(inner, first + 1)).relu()
        x = x[:, :, :NUM_CANDIDATES] if first == LAST_BLOCK else x
    return [*outside, _moment(x)], inside


def _moment(x: Tensor) -> Tensor:
    flat = x.double().transpose(0, 1).flatten(1)
    return flat @ flat.T / flat.shape[1]


def _best(moments: Sequence[Tensor], readers: Sequence[Tensor], count: int) -> list[int]:
    """Return the channels from which all can be made best: with the least error in what reads them, summed."""
    worth = [torch.einsum("oikl,ojkl->ij", weight.double(), weight.double()) for weight in readers]
    whole = [float((moment * value).sum()) for moment, value in zip(moments, worth, strict=True)]

    def error(kept: list[int]) -> float:
        return sum(
            float(((moment - _stand_in(moment, kept).others @ moment[kept]) * value).sum()) / total
            for moment, value, total in zip(moments, worth, whole, strict=True)
        )

    return min((list(kept) for kept in combinations(range(len(moments[0])), count)), key=error)


def _stand_in(moment: Tensor, kept: list[int]) -> Selection:
    ridge = 1e-6 * moment.diagonal().mean() * torch.eye(len(kept), dtype=moment.dtype)
    others = torch.linalg.solve(moment[kept][:, kept] + ridge, moment[kept]).T
    return Selection(kept, others)


def _select_outputs(weights: dict[str, Tensor], index: int, kept: list[int]) -> None:
    for name in (f"weight_{index}", f"bias_{index}"):
        weights[name] = weights[name][kept]


def _move_inputs(weights: dict[str, Tensor], index: int, selection: Selection) -> None:
    name = f"weight_{index}"
    weights[name] = torch.einsum("oikl,ij->ojkl", weights[name].double(), selection.others).float()
