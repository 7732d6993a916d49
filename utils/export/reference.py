"""The PyTorch side of exported graphs, as functions of arrays for verification."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

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
    network: nn.Module | None = None,
) -> Reference:
    """Return the reference of a voice that converts audio.

    Args:
        converter: at the rate of the graph.
        defaults: values that the controls of the graph have by themselves.
        tolerance: largest allowed relative RMS difference of the graph.
        recordings: [T] excerpts of real recordings at the rate of the graph.
        convert: makes audio [B, T] of audio [B, T] and the controls; default: the converter itself.
        network: holds the weights of `convert`; default: the converter.
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
        shaken=partial(shaken, network if network is not None else converter),
    )


@contextmanager
def shaken(network: nn.Module, seed: int) -> Iterator[None]:
    """Make each weight of a network the next number above or below it, by a seed, while it lasts."""
    generator = torch.Generator().manual_seed(seed)
    kept = [(weight, weight.detach().clone()) for weight in network.parameters() if weight.is_floating_point()]
    try:
        with torch.no_grad():
            for weight, value in kept:
                is_up = torch.rand(value.shape, generator=generator) < 0.5
                weight.copy_(torch.nextafter(value, torch.where(is_up, torch.inf, -torch.inf).to(value)))
        yield
    finally:
        with torch.no_grad():
            for weight, value in kept:
                weight.copy_(value)
