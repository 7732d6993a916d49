"""The PyTorch side of exported graphs, as functions of arrays for verification."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from models.conversion import AudioConverter
from utils.export.graph import control_tensors
from utils.verification.reference import Reference
from utils.voice_file.controls import ControlDefaults


def voice_reference(
    converter: AudioConverter,
    *,
    defaults: ControlDefaults,
    tolerance: float,
    recordings: tuple[np.ndarray, ...] = (),
    convert: Callable[..., Tensor] | None = None,
) -> Reference:
    """Return the reference of a voice that converts audio.

    Args:
        converter: at the rate of the graph.
        defaults: values that the controls of the graph have by themselves.
        tolerance: largest allowed relative RMS difference of the graph.
        recordings: [T] excerpts of real recordings at the rate of the graph.
        convert: makes audio [B, T] of audio [B, T] and the controls; default: the converter itself.
    """
    make = convert or converter
    special = converter.special_controls if convert is None else ()

    def answer(audio: np.ndarray, values: ControlDefaults) -> np.ndarray:
        with torch.no_grad():
            output: np.ndarray = make(torch.from_numpy(audio), *control_tensors(values, special)).numpy()
        return output

    return Reference(
        convert=answer,
        defaults=defaults,
        sample_rate=converter.io_rate,
        num_speakers=converter.generator.num_speakers,
        idle_controls=converter.idle_controls,
        special_controls=frozenset(special),
        parity_db=20 * math.log10(tolerance),
        recordings=recordings,
    )
