"""The source signals: unit power, the pitch that was asked for, phase that does not drift, noise without chance."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from models.layers.excitation import NOISE_FRAMES, FixedNoise, PulseTrain, sum_of_harmonics
from models.layers.frames import FramesToSamples


def fundamental(audio: torch.Tensor, sample_rate: int) -> float:
    """The frequency of the lowest strong spectral line, refined by a parabola through its logarithm."""
    window = torch.hann_window(len(audio), dtype=torch.float64)
    spectrum = torch.fft.rfft(audio.double() * window, n=4 * len(audio)).abs().log()
    strong = (spectrum > spectrum.max() - 1.0).nonzero()[0].item()
    first = int(strong)
    while spectrum[first + 1] > spectrum[first]:
        first += 1
    before, here, after = (float(value) for value in spectrum[first - 1 : first + 2])
    return (first + 0.5 * (before - after) / (before - 2 * here + after)) * sample_rate / (4 * len(audio))


@pytest.mark.parametrize("f0_hz", [55.0, 120.0, 333.0, 800.0])
@pytest.mark.parametrize("rate", [16000, 24000, 48000])
def test_pulse_train_has_unit_power(f0_hz: float, rate: int) -> None:
    audio = PulseTrain(rate, rate // 100)(torch.full((1, 100), f0_hz))

    # floor(0.49 rate / f0) harmonics of power 2 f0 / rate each: near 1, whatever the pitch
    expected = int(0.49 * rate / f0_hz) * 2 * f0_hz / rate
    assert audio.square().mean().item() == pytest.approx(expected, abs=0.02)
    assert expected == pytest.approx(1.0, abs=0.11)


@pytest.mark.parametrize("f0_hz", [70.0, 123.4, 250.0, 612.0])
def test_pulse_train_has_the_pitch_that_was_asked_for(f0_hz: float) -> None:
    audio = PulseTrain(24000, 240)(torch.full((1, 100), f0_hz))[0]

    assert fundamental(audio, 24000) == pytest.approx(f0_hz, rel=0.002)


def test_four_semitones_more_give_a_pitch_four_semitones_higher() -> None:
    pulses, f0_hz = PulseTrain(24000, 240), torch.full((1, 100), 150.0)

    low, high = (fundamental(pulses(value)[0], 24000) for value in (f0_hz, f0_hz * 2 ** (4 / 12)))

    assert 12 * math.log2(high / low) == pytest.approx(4.0, abs=0.05)


def test_pulse_train_equals_the_sum_of_its_harmonics() -> None:
    f0_hz, rate = 400.0, 16000
    audio = PulseTrain(rate, 160)(torch.full((1, 3), f0_hz))[0].double()

    time = torch.arange(1, 481, dtype=torch.float64)
    count = int(0.49 * rate / f0_hz)
    harmonics = sum(torch.cos(2 * math.pi * k * f0_hz * time / rate) for k in range(1, count + 1))
    assert_close(audio, harmonics * math.sqrt(4 * f0_hz / rate), atol=2e-3, rtol=0)


def test_harmonics_at_the_edge_fade_instead_of_switching() -> None:
    phase = torch.linspace(-3.1, 3.1, 999, dtype=torch.float64)

    sums = [sum_of_harmonics(phase, torch.full_like(phase, count), peak=1e-5) for count in np.arange(7, 9, 0.001)]

    steps = torch.stack([(after - before).abs().max() for before, after in pairwise(sums)])
    assert float(steps.max()) < 0.0041  # a thousandth of four times one harmonic
    expected = sum(torch.cos(k * phase) for k in range(1, 8))
    assert_close(sums[500], expected, atol=1e-9, rtol=0)
    assert_close(sums[1000], expected, atol=1e-9, rtol=0)
    assert_close(sums[1125], expected + 0.5 * torch.cos(8 * phase), atol=1e-9, rtol=0)


def test_unvoiced_frames_are_silent_and_voicing_fades_between_centres() -> None:
    f0_hz = torch.tensor([[0.0, 0.0, 200.0, 200.0, 0.0, 0.0]])

    frames = PulseTrain(16000, 160)(f0_hz).reshape(6, 160)

    assert frames[0].abs().max().item() == 0.0
    assert frames[5].abs().max().item() == 0.0
    assert frames[2:4].abs().max().item() > 1.0
    # half a frame before the first voiced centre the pulses begin
    assert frames[1, :79].abs().max().item() == 0.0


def test_no_frequency_passes_the_nyquist() -> None:
    audio = PulseTrain(16000, 160)(torch.full((1, 100), 130.0))[0]

    power = torch.fft.rfft(audio * torch.hann_window(len(audio))).abs().square()
    assert (power[7900:].sum() / power.sum()).item() < 1e-3


@pytest.mark.slow
def test_phase_is_exact_after_ten_minutes() -> None:
    rate, minutes_10 = 8000, 60_000
    f0_hz = torch.tensor([200.0008, 171.3737, 97.00051])
    cycles = f0_hz.double() / rate

    audio = PulseTrain(rate, 80)(f0_hz[:, None].expand(-1, minutes_10 + 100)).double().reshape(3, -1, 80)

    # the fundamental's phase in the first second and in the one after ten minutes
    time = torch.arange(rate, dtype=torch.float64)
    probe = torch.hann_window(rate, dtype=torch.float64) * torch.exp(-2j * math.pi * cycles[:, None] * time)
    early, late = ((audio[:, first : first + 100].reshape(3, -1) * probe).sum(1) for first in (0, minutes_10))
    found = torch.angle(late / early) / (2 * math.pi)
    drift = torch.remainder(found - cycles * minutes_10 * 80 + 0.5, 1.0) - 0.5
    # a float32 sum of 10^5 cycles is off by up to 0.008
    assert_close(drift, torch.zeros(3, dtype=torch.float64), atol=2e-4, rtol=0)


@pytest.mark.parametrize("gap", [2, 5])
def test_each_voiced_stretch_sounds_as_if_it_were_the_first(gap: int) -> None:
    pulses, stretch = PulseTrain(16000, 160), torch.tensor([[123.4, 130.0, 141.0, 139.0]])
    padding = torch.zeros(1, gap)

    twice = pulses(torch.cat([torch.tensor([[177.7, 190.3]]), padding, stretch, padding], dim=1))
    alone = pulses(torch.cat([padding, stretch, padding], dim=1))

    # from the middle of the frame before it, where it begins to be heard
    heard = 160 * (gap - 1) + 80
    assert_close(twice[:, 2 * 160 + heard :], alone[:, heard:], atol=1e-5, rtol=0)


@pytest.mark.parametrize("gap", [1, 2])
def test_a_stretch_ends_without_a_step_where_another_follows(gap: int) -> None:
    pulses, stretch, other = PulseTrain(16000, 160), torch.full((1, 3), 123.4), torch.full((1, 3), 201.0)

    followed = pulses(torch.cat([stretch, torch.zeros(1, gap), other], dim=1))
    alone = pulses(torch.cat([stretch, torch.zeros(1, gap + 3)], dim=1))

    assert_close(followed[:, : 3 * 160 + 80], alone[:, : 3 * 160 + 80], atol=1e-6, rtol=0)


def test_pulses_depend_on_the_item_alone() -> None:
    f0_hz = torch.tensor([[100.0, 110.0, 0.0, 200.0], [300.0, 0.0, 0.0, 90.0]])
    pulses = PulseTrain(16000, 160)

    assert_close(pulses(f0_hz), torch.cat([pulses(f0_hz[:1]), pulses(f0_hz[1:])]), atol=0, rtol=0)


def test_pulses_are_finite_for_any_pitch() -> None:
    f0_hz = torch.tensor([[0.0, 1e-3, 20.0, 1100.0, 9000.0, 2e4, 0.0]])

    assert bool(torch.isfinite(PulseTrain(24000, 240)(f0_hz)).all())


def test_noise_is_the_same_every_time_and_of_unit_power() -> None:
    noise = FixedNoise(240)(torch.zeros(2, 200))

    assert noise.shape == (2, 48000)
    assert_close(noise, FixedNoise(240)(torch.ones(2, 200)), atol=0, rtol=0)
    assert_close(noise[0], noise[1], atol=0, rtol=0)
    assert noise.square().mean().item() == pytest.approx(1.0, abs=0.02)
    assert noise.mean().item() == pytest.approx(0.0, abs=0.02)


def test_noise_of_a_shorter_signal_is_the_beginning_of_the_longer() -> None:
    noise = FixedNoise(8)

    assert_close(noise(torch.zeros(1, 3)), noise(torch.zeros(1, 50))[:, :24], atol=0, rtol=0)


def test_noise_repeats_after_its_table() -> None:
    frames = FixedNoise(8)(torch.zeros(1, NOISE_FRAMES + 2)).reshape(-1, 8)

    assert_close(frames[NOISE_FRAMES:], frames[:2], atol=0, rtol=0)


def test_seed_decides_the_noise() -> None:
    assert not torch.equal(FixedNoise(8, seed=0).table, FixedNoise(8, seed=1).table)


def test_interpolation_passes_through_the_centres_of_frames() -> None:
    # hop 4: samples lie at -3/8, -1/8, 1/8, 3/8 of a frame from the centre
    found = FramesToSamples(4)(torch.tensor([[0.0, 8.0, 0.0]]))

    assert found[0].tolist() == [0.0, 0.0, 1.0, 3.0, 5.0, 7.0, 7.0, 5.0, 3.0, 1.0, 0.0, 0.0]


@pytest.mark.parametrize("f0_hz", [97.3, 153.3, 222.2, 404.0])
def test_closed_trains_go_on_from_block_to_block(f0_hz: float) -> None:
    rate, frames = 24000, torch.full((1, 10), f0_hz)
    closed = PulseTrain(rate, 240, closed=True)

    one = closed(frames)
    three = one.repeat(1, 3)

    # the same pulses as of a steady tone without a gap: bent by half a cycle of the block at most
    cycles = round(f0_hz * 0.1)
    steady = PulseTrain(rate, 240)(torch.full((1, 30), cycles / 0.1))
    assert_close(three, steady, atol=2e-3 * float(steady.abs().max()), rtol=0)


def test_closing_bends_no_more_than_a_semitone_and_only_what_reaches_the_end() -> None:
    closed, plain = PulseTrain(16000, 160, closed=True), PulseTrain(16000, 160)
    ended = torch.tensor([[0.0, 123.4, 130.0, 0.0, 140.0, 150.0, 0.0]])
    reaching = torch.tensor([[0.0, 123.4, 130.0, 0.0, 141.0, 141.0, 141.0]])
    short = torch.tensor([[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 75.0]])

    assert torch.equal(closed(ended), plain(ended))
    heard = 3 * 160 + 80  # from half a frame before it
    assert torch.equal(closed(reaching)[:, :heard], plain(reaching)[:, :heard])
    assert not torch.equal(closed(reaching)[:, heard:], plain(reaching)[:, heard:])
    onset = 6 * 160
    assert_close(closed(short)[:, onset:], plain(short * 1.06)[:, onset:], atol=2e-5, rtol=0)
