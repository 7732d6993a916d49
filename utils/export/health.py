"""Whether the weights of a network are sound: what is no number, what is dead, who was never trained."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

SHOWN = 3
GAIN, DIRECTION = ".weight_g", ".weight_v"
TABLES = ("speaker.weight", "emb_g.weight")


@dataclass(frozen=True, kw_only=True)
class Health:
    """Findings about the weights of a network.

    Attributes:
        num_weights: tensors.
        num_values: numbers in them.
        largest: the largest magnitude of a finite value.
        not_finite: tensor -> how many of its values are NaN or infinite.
        dead_channels: tensor -> how many of its channels are zero, so that nothing passes them.
        all_zero: tensors of zeros alone; such stand in a network where its training never went.
        equal_speakers: rows of the table of speakers that equal another row or are zero.
    """

    num_weights: int
    num_values: int
    largest: float
    not_finite: dict[str, int]
    dead_channels: dict[str, int]
    all_zero: tuple[str, ...]
    equal_speakers: tuple[int, ...]

    @property
    def is_sound(self) -> bool:
        """Whether the voice speaks as it was trained: every value is a number and no channel is dead."""
        return not (self.not_finite or self.dead_channels)

    def to_plain(self) -> dict[str, Any]:
        """Return plain data."""
        return {**asdict(self), "is_sound": self.is_sound}

    def lines(self) -> list[str]:
        """Return what a person is told, one line for each kind of finding."""
        found = [f"{self.num_values} values in {self.num_weights} weights, the largest {self.largest:.3g}"]
        found.append(_counted("NaN or infinity", self.not_finite) or "NaN or infinity: none")
        found.append(_counted("dead channels", self.dead_channels) or "dead channels: none")
        if self.all_zero:
            found.append(f"zeros alone: {_shown(self.all_zero)}; a training would have changed them")
        if self.equal_speakers:
            found.append(f"speakers without a row of their own: {_shown(tuple(map(str, self.equal_speakers)))}")
        return found


def health_of(weights: Mapping[str, Tensor]) -> Health:
    """Look at the floating-point weights of a network, under the names of files."""
    floats = {name: value.detach().float() for name, value in weights.items() if value.is_floating_point()}
    finite = {name: torch.isfinite(value) for name, value in floats.items()}
    magnitudes = [float(value[finite[name]].abs().max()) for name, value in floats.items() if bool(finite[name].any())]
    zero = tuple(name for name, value in floats.items() if _is_matrix(value) and not bool(value.any()))
    dead = {name: _dead(name, value, floats) for name, value in floats.items() if name not in (*zero, *TABLES)}
    table = next((floats[name] for name in TABLES if name in floats), None)
    return Health(
        num_weights=len(floats),
        num_values=sum(value.numel() for value in floats.values()),
        largest=max(magnitudes, default=0.0),
        not_finite={name: int((~mask).sum()) for name, mask in finite.items() if not bool(mask.all())},
        dead_channels={name: count for name, count in dead.items() if count},
        all_zero=zero,
        equal_speakers=() if table is None else _equal_rows(table),
    )


def _is_matrix(value: Tensor) -> bool:
    return value.dim() > 1 and value.numel() > len(value)


def _dead(name: str, value: Tensor, weights: Mapping[str, Tensor]) -> int:
    """Return how many channels of a weight are zero; of a normalised one its gain decides, or a direction of zeros."""
    if name.endswith(GAIN):
        return int((value.flatten(1) == 0).all(dim=1).sum()) if value.dim() > 1 else int((value == 0).sum())
    if not _is_matrix(value):
        return 0
    rows = (value.flatten(1) == 0).all(dim=1)
    gain = weights.get(name.removesuffix(DIRECTION) + GAIN) if name.endswith(DIRECTION) else None
    if gain is not None and len(gain) == len(rows):
        rows = rows & (gain.flatten(1) != 0).any(dim=1)  # counted at its gain otherwise
    return int(rows.sum())


def _equal_rows(table: Tensor) -> tuple[int, ...]:
    """Return the rows that are zero, or equal to an earlier row."""
    seen: set[bytes] = set()
    equal = []
    for number, row in enumerate(table):
        key = row.numpy(force=True).tobytes()
        if key in seen or not bool(row.any()):
            equal.append(number)
        seen.add(key)
    return tuple(equal)


def _counted(words: str, found: Mapping[str, int]) -> str:
    if not found:
        return ""
    return f"{words}: {sum(found.values())}, in {_shown(tuple(f'{name} {count}' for name, count in found.items()))}"


def _shown(names: tuple[str, ...]) -> str:
    return ", ".join(names[:SHOWN]) + f" and {len(names) - SHOWN} more" * (len(names) > SHOWN)
