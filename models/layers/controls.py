"""The controls of a voice as tensors: whatever a host sends, within what the table allows."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from utils.voice_file.controls import CONTROLS, SPEAKER_CONTROLS, ControlDefaults, controls_with


class Controls(NamedTuple):
    """Scalars in the order of utils.voice_file.controls.CONTROLS, which says what each means.

    Attributes:
        pitch_shift: semitones added to the pitch.
        speaker_id: int64.
        index_rate: share of retrieved content.
        protect: share of retrieval in unvoiced frames; 0.5 and more means no protection.
        loudness_mix: 1 keeps the model's own level, 0 imposes the input's level on each frame.
    """

    pitch_shift: Tensor
    speaker_id: Tensor
    index_rate: Tensor
    protect: Tensor
    loudness_mix: Tensor


def bounded_controls(given: Controls, defaults: ControlDefaults, num_speakers: int) -> Controls:
    """Return each control within its range: beyond an end counts as the end, NaN as the default.

    Args:
        given: what the host sent.
        defaults: a value for each control.
        num_speakers: S; a speaker_id outside 0..S-1 means the nearest speaker.
    """
    bounded = {}
    for control in CONTROLS:
        value: Tensor = getattr(given, control.name)
        if control.is_integer:
            bounded[control.name] = value.clamp(0, num_speakers - 1)
        else:
            usual = getattr(defaults, control.name)
            default = torch.full_like(value, 0.0 if math.isnan(usual) else usual)
            bounded[control.name] = torch.where(value == value, value, default).clamp(control.low, control.high)
    return Controls(**bounded)


def bounded_special(names: Sequence[str], given: Sequence[Tensor], num_speakers: int) -> dict[str, Tensor]:
    """Return the special controls of these names, scalars within their ranges.

    Args:
        names: of SPECIAL_CONTROLS, in the order of that table.
        given: what the host sent; none at all leaves it to the network.
        num_speakers: S.
    """
    special = [control for control in controls_with(names) if control.name in names]
    return {
        control.name: value.clamp(
            int(control.low), num_speakers - 1 if control.name in SPEAKER_CONTROLS else int(control.high)
        )
        for control, value in zip(special if given else [], given, strict=True)
    }
