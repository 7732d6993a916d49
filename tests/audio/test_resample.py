"""The resampler inside the graph: flat where the voice is, deaf above, without delay, exact in length."""

import math

import pytest
import torch
from torch.testing import assert_close

from utils.audio.resample import PASS_BAND, STOP_BAND, ZERO_CROSSINGS, RationalResampler
from utils.audio.resample_bands import measure_bands
from utils.features.stream_frontend import STREAM_PASS_BAND, STREAM_STOP_BAND
from utils.features.stream_frontend import ZERO_CROSSINGS as STREAM_CROSSINGS

PAIRS = [(24000, 16000), (16000, 24000), (44100, 16000), (24000, 44100), (48000, 24000), (24000, 48000), (32000, 40000)]


def sine(frequency: float, rate: int, count: int) -> torch.Tensor:
    return torch.sin(2 * math.pi * frequency * torch.arange(count, dtype=torch.float64) / rate + 0.3).float()[None]


def inner(audio: torch.Tensor) -> torch.Tensor:
    """The middle half, away from the ends, where the filter sees silence."""
    count = audio.shape[1]
    return audio[:, count // 4 : -count // 4]


@pytest.mark.parametrize(("source", "target"), PAIRS)
@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, PASS_BAND])
def test_pass_band_is_flat_and_without_delay(source: int, target: int, share: float) -> None:
    frequency = share * min(source, target) / 2

    resampled = RationalResampler(source, target)(sine(frequency, source, source // 5))

    expected = sine(frequency, target, target // 5)
    # 0.001 of the amplitude: gain within 0.01 dB, and phase within 0.001 rad, of the same instants
    assert_close(inner(resampled), inner(expected), atol=1e-3, rtol=0)


def response_db(source: int, target: int, zero_crossings: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Hertz and gain of one phase of the filter, from its taps alone."""
    resampler = RationalResampler(source, target, zero_crossings=zero_crossings)
    taps = resampler.kernels[0, 0].double()
    gain = torch.fft.rfft(taps, n=1 << 16).abs()
    return torch.arange(len(gain)) * source / (1 << 16), 20 * torch.log10(gain + 1e-12)


DOWN = [(source, target) for source, target in PAIRS if source > target] + [(48000, 16000), (96000, 16000)]
KERNELS = [(ZERO_CROSSINGS, PASS_BAND, STOP_BAND), (STREAM_CROSSINGS, STREAM_PASS_BAND, STREAM_STOP_BAND)]


@pytest.mark.parametrize(("source", "target"), DOWN)
@pytest.mark.parametrize(("zero_crossings", "pass_band", "stop_band"), KERNELS, ids=["recordings", "streams"])
def test_stated_bands_hold(source: int, target: int, zero_crossings: int, pass_band: float, stop_band: float) -> None:
    hertz, gain_db = response_db(source, target, zero_crossings)

    nyquist = target / 2
    assert gain_db[hertz <= pass_band * nyquist].abs().max().item() < 0.1
    assert gain_db[hertz >= stop_band * nyquist].max().item() < -80.0


@pytest.mark.parametrize(("source", "target"), [*PAIRS, (48000, 16000), (22000, 16000), (8000, 16000)])
@pytest.mark.parametrize(("zero_crossings", "pass_band", "stop_band"), KERNELS, ids=["recordings", "streams"])
def test_measured_bands_are_as_wide_as_stated(
    source: int, target: int, zero_crossings: int, pass_band: float, stop_band: float
) -> None:
    bands = measure_bands(RationalResampler(source, target, zero_crossings=zero_crossings))

    assert bands is not None and (bands.source_rate, bands.target_rate) == (source, target)
    nyquist = min(source, target) / 2
    assert pass_band < bands.pass_band_hz / nyquist < pass_band + 0.025
    assert stop_band - 0.01 < bands.stop_band_hz / nyquist <= stop_band
    assert bands.ripple_db < 0.1 and 80 <= bands.attenuation_db < 84


@pytest.mark.parametrize("zero_crossings", [ZERO_CROSSINGS, STREAM_CROSSINGS])
def test_measured_bands_are_those_that_tones_meet(zero_crossings: int) -> None:
    resampler = RationalResampler(48000, 16000, zero_crossings=zero_crossings)
    bands = measure_bands(resampler)
    assert bands is not None

    def gain_db(hertz: float) -> float:
        power = inner(resampler(sine(hertz, 48000, 48000))).double().square().mean()
        return 10 * math.log10(2 * power.item())

    assert abs(gain_db(bands.pass_band_hz)) < 0.1 < abs(gain_db(bands.pass_band_hz + 20))
    assert gain_db(bands.stop_band_hz) < -80 < gain_db(bands.stop_band_hz - 40)
    assert measure_bands(RationalResampler(16000, 16000)) is None


@pytest.mark.parametrize(("source", "target"), [(24000, 16000), (44100, 16000), (48000, 16000), (48000, 24000)])
@pytest.mark.parametrize("where", [1.005, 1.08, 1.3])
def test_tones_above_the_new_nyquist_are_80_db_down(source: int, target: int, where: float) -> None:
    left = inner(RationalResampler(source, target)(sine(where * target / 2, source, source // 5)))

    assert 20 * math.log10(left.square().mean().sqrt().item() * math.sqrt(2) + 1e-12) < -80.0


@pytest.mark.parametrize(("source", "target"), [(16000, 24000), (24000, 44100)])
def test_images_above_the_old_nyquist_are_80_db_down(source: int, target: int) -> None:
    frequency = PASS_BAND * source / 2

    resampled = inner(RationalResampler(source, target)(sine(frequency, source, source // 5)))

    window = torch.hann_window(resampled.shape[1], dtype=torch.float64) ** 2
    spectrum = torch.fft.rfft(resampled[0].double() * window).abs()
    hertz = torch.arange(len(spectrum)) * target / resampled.shape[1]
    assert 20 * math.log10((spectrum[hertz > source / 2].max() / spectrum.max()).item()) < -80.0


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_length_is_the_ratio_for_every_number_of_frames(source: int, target: int) -> None:
    resampler = RationalResampler(source, target)

    for frames in (1, 2, 3, 50):
        assert resampler(torch.zeros(2, frames * source // 100)).shape == (2, frames * target // 100)


def test_impulse_stays_at_its_time() -> None:
    audio = torch.zeros(1, 4800)
    audio[0, 2400] = 1.0

    resampled = RationalResampler(24000, 16000)(audio)

    assert resampled.argmax().item() == 1600


def test_equal_rates_return_the_input() -> None:
    audio = torch.randn(1, 480, generator=torch.Generator().manual_seed(0))

    assert RationalResampler(24000, 24000)(audio) is audio


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_constant_keeps_its_value_exactly(source: int, target: int) -> None:
    resampled = RationalResampler(source, target)(torch.ones(1, source // 10))

    assert_close(inner(resampled), torch.ones_like(inner(resampled)), atol=1e-6, rtol=0)
