"""Parameter by parameter: what a file holds against what a network needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from utils.errors import ConfigError, FormatError
from utils.rvc.layout import SPEAKER_TABLE, Shapes, legacy_name, legacy_state
from utils.rvc.quoting import shown_name, shown_shape

SHOWN = 3


@dataclass(frozen=True)
class Match:
    """Names with shapes, as `name [shape]`; `different` also says the shape that is needed."""

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    different: tuple[str, ...]

    @property
    def is_complete(self) -> bool:
        """Whether every parameter has its counterpart of the same shape."""
        return not (self.missing or self.unexpected or self.different)

    def summary(self) -> str:
        """Return counts, and the first names of what does not match, in one line."""
        parts = [f"{len(self.matched)} parameters matched"]
        for label in ("missing", "unexpected", "different"):
            names: tuple[str, ...] = getattr(self, label)
            shown = ", ".join(names[:SHOWN]) + ", ..." * (len(names) > SHOWN)
            parts.append(f"{len(names)} {label}" + f" ({shown})" * bool(names))
        return "; ".join(parts)

    def rows(self) -> list[list[str]]:
        """Return [outcome, name and shape] of every parameter, the matched ones last."""
        return [
            [label, name]
            for label in ("missing", "unexpected", "different", "matched")
            for name in getattr(self, label)
        ]


def compare(theirs: Shapes, ours: Shapes) -> Match:
    """Compare the names and shapes of a file with those a network needs, both under the names of files."""
    both = [name for name in ours if name in theirs]
    return Match(
        matched=tuple(_with_shape(name, ours) for name in both if theirs[name] == ours[name]),
        missing=tuple(_with_shape(name, ours) for name in ours if name not in theirs),
        unexpected=tuple(_with_shape(name, theirs) for name in theirs if name not in ours),
        different=tuple(
            f"{_with_shape(name, theirs)} instead of {list(ours[name])}" for name in both if theirs[name] != ours[name]
        ),
    )


def fill(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load weights under the names of files into a network, in single precision; all of them must be there."""
    own = network.state_dict()
    with torch.no_grad():
        network.load_state_dict({name: weights[legacy_name(name)].float() for name in own})


def take_speakers(weights: Mapping[str, Tensor], rows: Sequence[int], key: str) -> dict[str, Tensor]:
    """Return the weights with a speaker table made of the given rows.

    Raises:
        ConfigError: if a row is not in the table; `key` is the setting that named it.
    """
    table = weights[SPEAKER_TABLE]
    wrong = [row for row in rows if not 0 <= row < len(table)]
    if wrong or not rows:
        raise ConfigError(
            f"{key}={list(rows)}: the file's speaker table has the rows 0 to {len(table) - 1}; name some of them"
        )
    return {**weights, SPEAKER_TABLE: table[list(rows)]}


def require_floats(weights: Mapping[str, Tensor], source: str, *, must_be_finite: bool = True) -> None:
    """Raise FormatError if a weight is not a floating-point tensor, or where asked for not finite."""
    for name, value in weights.items():
        if not value.is_floating_point():
            raise FormatError(
                f"{source}: {shown_name(name)} holds {value.dtype}, no floating-point numbers; take another file"
            )
        if must_be_finite and not bool(torch.isfinite(value).all()):
            raise FormatError(
                f"{source}: {shown_name(name)} holds NaN or infinity; take an earlier save of that training"
            )


def network_weights(network: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of a network under the names of files."""
    return legacy_state(network.state_dict())


def _with_shape(name: str, shapes: Shapes) -> str:
    return f"{shown_name(name)} {shown_shape(shapes[name])}"
