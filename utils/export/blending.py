"""Weighted means of networks: whether they can be blended, and what comes of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from utils.errors import ConfigError

State = Mapping[str, Tensor]
BlendKind = Literal["runs", "files", "speakers"]
SPEAKER_TABLES = ("speaker.weight", "emb_g.weight")  # in the networks here, and in those of RVC and So-VITS-SVC
# cosine between all weights of two networks, below which they did not begin as one: their mean is noise
LEAST_AGREEMENT = 0.5


@dataclass(frozen=True)
class Blend:
    """What is blended.

    Attributes:
        kind: runs of ours, voices of other programs, or speakers of one voice.
        shares: by path, or by name or number of a speaker; the sum is 1.
    """

    kind: BlendKind
    shares: Mapping[str, float]

    @property
    def heaviest(self) -> str:
        """The first of those with the largest share, from which everything comes that has no mean."""
        return max(self.shares, key=lambda name: self.shares[name])

    def __str__(self) -> str:
        return ", ".join(f"{name} {share:g}" for name, share in self.shares.items())

    def by_file_name(self) -> dict[str, float]:
        """Return the shares by the names of the files or folders; their places are nobody's business."""
        names = {name: name if self.kind == "speakers" else Path(name).name for name in self.shares}
        is_clear = len(set(names.values())) == len(names)
        return {names[name] if is_clear else name: share for name, share in self.shares.items()}


def mean_state(states: Sequence[State], shares: Sequence[float]) -> dict[str, Tensor]:
    """Return the mean of networks of equal shapes; a share of 1 gives its network bit for bit.

    Args:
        states: weights by name; whole numbers are taken from the network with the largest share.
        shares: of each.
    """
    used = [(state, share) for state, share in zip(states, shares, strict=True) if share > 0.0]
    heaviest = max(used, key=lambda pair: pair[1])[0]
    return {
        name: _mean([(state[name], share) for state, share in used]) if value.is_floating_point() else value
        for name, value in heaviest.items()
    }


def mean_row(table: Tensor, rows: Sequence[int], shares: Sequence[float]) -> Tensor:
    """Return a row of a table [S, C] that is the mean of others, [1, C]."""
    return _mean([(table[row : row + 1], share) for row, share in zip(rows, shares, strict=True) if share > 0.0])


def speaker_table(state: State, what: str) -> str:
    """Return the name of the table of speakers.

    Raises:
        ConfigError: if the network has none that is known.
    """
    found = next((name for name in SPEAKER_TABLES if name in state), None)
    if found is None:
        raise ConfigError(f"{what} has no table of speakers; blend=<speakers> needs one")
    return found


def require_alike(states: Mapping[str, State]) -> None:
    """Check that networks have one architecture and began as one.

    Args:
        states: weights by the name of the voice, for messages; the first is what the others are compared with.
    Raises:
        ConfigError: if their weights have other names or shapes, or so little in common that no mean of them speaks.
    """
    (first, weights), *others = states.items()
    for name, other in others:
        different = [key for key in {**weights, **other} if _shape(weights, key) != _shape(other, key)]
        if different:
            raise ConfigError(
                f"blend: {first} and {name} are networks of different sizes ({len(different)} weights differ, first "
                f"{different[0]}); only voices of one architecture and rate can be blended"
            )
        agreement = agreement_of(weights, other)
        if agreement < LEAST_AGREEMENT:
            raise ConfigError(
                f"blend: the weights of {first} and {name} have little in common (cosine {agreement:.2f}, needed "
                f"{LEAST_AGREEMENT:g}): a mean of networks that did not begin as one is noise; train both from the "
                "same pretrained weights"
            )


def agreement_of(one: State, other: State) -> float:
    """Return the cosine between all matrices of two networks of equal shapes.

    Tables of speakers are left out, and vectors: biases, gains and the lengths of normalised weights begin alike in
    all networks.
    """
    names = [name for name, value in one.items() if value.numel() > max(value.shape, default=1)]
    names = [name for name in names if name not in SPEAKER_TABLES and one[name].is_floating_point()]
    pairs = [(one[name].double().flatten(), other[name].double().flatten()) for name in names]
    product = sum(float(a @ b) for a, b in pairs)
    powers = [sum(float(pair[side] @ pair[side]) for pair in pairs) for side in (0, 1)]
    return product / max((powers[0] * powers[1]) ** 0.5, 1e-30)


def mixed_entries(codebooks: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    """Return a codebook [K, D] with entries of several in proportion to their shares; K is the heaviest one's."""
    pairs = sorted(zip(codebooks, shares, strict=True), key=lambda pair: -pair[1])
    count = len(pairs[0][0])
    parts: list[Tensor] = []
    for codebook, share in pairs[1:]:
        wanted = round(count * share)
        parts.append(codebook[torch.arange(wanted) % len(codebook)])
    rest = count - sum(len(part) for part in parts)
    return torch.cat([pairs[0][0][:rest], *parts])


def mean_pitch(medians_hz: Sequence[float | None], shares: Sequence[float]) -> float | None:
    """Return the mean of pitches in octaves; None where one is not known."""
    used = [(value, share) for value, share in zip(medians_hz, shares, strict=True) if share > 0.0]
    logs = [share * torch.log2(torch.tensor(value, dtype=torch.float64)) for value, share in used if value]
    if len(logs) < len(used):
        return None
    return used[0][0] if len(used) == 1 else float(torch.exp2(torch.stack(logs).sum()))


def _mean(parts: Sequence[tuple[Tensor, float]]) -> Tensor:
    if len(parts) == 1:
        return parts[0][0]
    total = torch.zeros_like(parts[0][0], dtype=torch.float64)
    for value, share in parts:
        total += share * value.double()
    return total.to(torch.float32)


def _shape(state: State, name: str) -> tuple[int, ...] | None:
    return tuple(state[name].shape) if name in state else None
