"""The vocoders of Applio: parameters, sources, noise, what they refuse."""

import json
import math
from pathlib import Path

import pytest
import torch

from models.layers.harmonic_source import HarmonicSource, uniform_of_normal
from models.layers.refinegan_decoder import Decimator, NoiseRows
from tests.tools.rvc_tools import small_generator
from utils.config.train import train_job
from utils.errors import ConfigError
from utils.rvc.layout import legacy_state, shapes_of
from utils.training.losses import SummedMelLoss, build_spectral_loss

PARAMETERS = Path(__file__).resolve().parents[1] / "golden" / "applio_parameters.json"
RATE, HOP = 24000, 240


@pytest.mark.slow
@pytest.mark.parametrize("name", ["applio_mrf_48k", "applio_refinegan_32k"])
def test_generators_have_the_published_names_and_shapes_in_order(name: str) -> None:
    expected = json.loads(PARAMETERS.read_text(encoding="utf-8"))[name]
    rate = name[-3:]
    node = train_job([f"model={name.replace('applio', 'rvc')}", f"audio=rvc_{rate}"]).model

    shapes = shapes_of(legacy_state(node.build(content_dim=768, num_speakers=109).state_dict()))

    assert {key: list(shape) for key, shape in shapes.items()} == expected


@pytest.mark.slow
def test_discriminator_v3_has_the_published_names_and_shapes() -> None:
    expected = json.loads(PARAMETERS.read_text(encoding="utf-8"))["applio_discriminator_v3"]

    shapes = shapes_of(train_job(["discriminator=rvc_v3"]).discriminator.build().state_dict())

    assert {key: list(shape) for key, shape in shapes.items()} == expected


@pytest.mark.parametrize("model", ["rvc_mrf_48k", "rvc_refinegan_48k"])
def test_without_pitch_there_is_no_such_decoder(model: str) -> None:
    with pytest.raises(ConfigError, match=r"model\.use_f0=false: there is no \w.* without pitch"):
        small_generator(model, "model.use_f0=false")


def test_harmonics_are_multiples_of_the_pitch() -> None:
    source = HarmonicSource(RATE, HOP, num_overtones=2)
    with torch.no_grad():
        source.l_linear.weight.copy_(torch.tensor([[1.0, 0.0, 0.5]]))
        source.l_linear.bias.zero_()

    made = source(torch.full((1, 10), 300.0), torch.zeros(1, 10 * HOP))[0]

    time = torch.arange(1, 10 * HOP + 1, dtype=torch.float64) / RATE
    sines = torch.sin(2 * math.pi * 300 * time) + 0.5 * torch.sin(2 * math.pi * 900 * time)
    torch.testing.assert_close(made.double(), torch.tanh(0.1 * sines), atol=1e-5, rtol=0)


def test_the_noise_of_harmonics_has_the_deviation_of_their_mixture() -> None:
    source = HarmonicSource(RATE, HOP, num_overtones=8)
    with torch.no_grad():
        source.l_linear.bias.zero_()
    noise = torch.randn(1, 200 * HOP, generator=torch.Generator().manual_seed(0))

    made = source(torch.zeros(1, 200), noise).detach()

    expected = 0.1 / 3 * float(source.l_linear.weight.detach().norm())
    assert float(made.std()) == pytest.approx(expected, rel=0.02)


def test_normal_numbers_become_uniform_ones() -> None:
    made = uniform_of_normal(torch.randn(100_000, generator=torch.Generator().manual_seed(0)))

    assert float(uniform_of_normal(torch.zeros(()))) == 0.0
    assert float(made.min()) >= -0.5 and float(made.max()) <= 0.5
    torch.testing.assert_close(torch.histc(made, bins=10, min=-0.5, max=0.5) / 1e4, torch.ones(10), atol=0.05, rtol=0)


@pytest.mark.parametrize("factor", [2, 10])
def test_decimation_keeps_low_tones_and_removes_what_would_alias(factor: int) -> None:
    time = torch.arange(4000)
    low, high = (torch.sin(2 * math.pi * share / factor * time).reshape(1, 1, -1) for share in (0.1, 0.6))
    decimate = Decimator(factor)

    kept, removed = decimate(low)[0, 0], decimate(high)[0, 0]

    middle = slice(70, -70)
    torch.testing.assert_close(kept[middle], low[0, 0, ::factor][middle], atol=1e-3, rtol=0)
    assert float(removed[middle].abs().max()) < 1e-3


def test_channels_and_blocks_get_noise_that_is_not_alike() -> None:
    noise = torch.randn(1, 36 * HOP, generator=torch.Generator().manual_seed(0))
    rows = NoiseRows(8, HOP, HOP, 0)

    made = torch.cat([rows(noise, 0)[0], rows(noise, 1)[0]])

    alike = torch.corrcoef(made) - torch.eye(16)
    assert made.shape == (16, 36 * HOP)
    assert float(alike.abs().max()) < 0.1
    assert float(made.std()) == pytest.approx(1.0, abs=0.05)


def test_refinegan_is_trained_on_seven_resolutions() -> None:
    job = train_job(["experiment=rvc_refinegan_24k", "dataset.name=x"])

    loss = build_spectral_loss(job.loss.objective, job.audio)

    assert isinstance(loss, SummedMelLoss) and job.loss.weights["spectral"] == 15.0
    audio = 0.1 * torch.randn(2, 4800, generator=torch.Generator().manual_seed(0))
    assert float(loss(audio, audio)) == 0.0
    assert float(loss(0.5 * audio, audio)) > 0.5
