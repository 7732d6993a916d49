"""Phases in graphs stay exact in runtimes that compute in single precision, and are those of training else."""

import copy
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from benchmarks.single_precision import in_single_precision
from models.layers.excitation import PulseTrain
from models.layers.harmonic_source import HarmonicSource
from models.layers.rvc_decoder import SineSource
from models.layers.whole_cycles import cycles_before
from tests.tools.streaming_tools import DEFAULTS, RATE, small_converter
from utils.export.graph import build_graph
from utils.export.tracing import GraphOptions
from utils.verification.measures import relative_db
from utils.verification.signals import speech_like

MINUTE = 6000


def melody(frames: int) -> torch.Tensor:
    """Return f0_hz [1, F] with pauses."""
    time = torch.arange(frames)
    return torch.where(torch.sin(time / 37) > -0.7, 120 + 60 * torch.sin(time / 70), torch.zeros(()))[None]


def single(train: torch.nn.Module) -> torch.nn.Module:
    """Return a pulse train with all in single precision."""
    reduced = copy.copy(train)
    reduced._buffers = {
        name: value.float() if value is not None and value.is_floating_point() else value
        for name, value in train._buffers.items()
    }
    return reduced


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 4096, 4160, 9000])
def test_sums_without_whole_cycles_are_the_sums(count: int) -> None:
    cycles = 3 * torch.rand(2, count, generator=torch.Generator().manual_seed(count), dtype=torch.float64)

    difference = cycles_before(cycles) - (cycles.cumsum(dim=1) - cycles)

    assert (difference - difference.round()).abs().max() < 1e-9


def test_a_graph_has_the_phase_of_training() -> None:
    train = PulseTrain(24000, 240)
    f0_hz = melody(MINUTE)

    assert relative_db(train.graph_form()(f0_hz).numpy(), train(f0_hz).numpy()) < -140


def test_a_minute_in_single_precision_keeps_its_pulses_in_a_graph_alone() -> None:
    train = PulseTrain(24000, 240)
    f0_hz = melody(MINUTE)
    exact = train(f0_hz).numpy()

    assert relative_db(single(train.graph_form())(f0_hz).numpy(), exact) < -50
    assert relative_db(single(train)(f0_hz).numpy(), exact) > -30


@pytest.mark.parametrize("source", [SineSource(24000, 240), HarmonicSource(24000, 240, num_overtones=7)])
def test_a_sine_source_is_the_same_in_a_graph(source: SineSource) -> None:
    f0_hz, noise = melody(MINUTE), torch.zeros(1, MINUTE * 240)

    with torch.no_grad():
        made, wanted = source.graph_form()(f0_hz, noise), source(f0_hz, noise)

    assert relative_db(made.numpy(), wanted.numpy()) < -100


@pytest.mark.slow
def test_an_exported_voice_is_the_same_in_single_precision(tmp_path: Path) -> None:
    voice = small_converter(defaults=DEFAULTS)
    graph = build_graph(voice, sample_rate=RATE, defaults=DEFAULTS, options=GraphOptions(), metadata={})
    audio = speech_like(RATE, 8 * RATE, 3)[None]

    exact, reduced = (
        onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(
            None, {"audio": audio}
        )[0]
        for model in (graph, in_single_precision(graph))
    )

    assert np.isfinite(reduced).all()
    assert relative_db(reduced, exact) < -60
