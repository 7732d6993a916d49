"""What a host may give for the controls of a voice, whatever it sends."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

CONTROL_LIMITS = {
    "pitch_shift": (-36.0, 36.0),
    "index_rate": (0.0, 1.0),
    "protect": (0.0, 0.5),
    "loudness_mix": (0.0, 1.0),
}
CONTROL_DEFAULTS = {"pitch_shift": 0.0, "index_rate": 0.5, "protect": 0.33, "loudness_mix": 1.0}


class Controls(NamedTuple):
    """Scalars; see BaseVoiceConversionModel.forward_audio."""

    pitch_shift: Tensor
    index_rate: Tensor
    protect: Tensor
    loudness_mix: Tensor


def bounded_controls(given: Controls, defaults: Mapping[str, float]) -> Controls:
    """Return each control within its range; NaN counts as its default."""
    return Controls(*(_bounded(value, name, defaults[name]) for name, value in given._asdict().items()))


def _bounded(value: Tensor, name: str, default: float) -> Tensor:
    number = torch.where(value == value, value, torch.full_like(value, default))
    return number.clamp(*CONTROL_LIMITS[name])
