"""Loudness of frames in dB relative to full scale, and the arithmetic of frames."""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from utils.audio.frames import num_frames, pad_to_frames, seconds_to_frames
from utils.audio.loudness import FLOOR_DB, FrameLoudness


@pytest.mark.parametrize("frequency", [150.0, 1000.0, 7000.0])
def test_full_scale_sine_is_minus_three_db(frequency: float) -> None:
    audio = torch.sin(2 * math.pi * frequency * torch.arange(16000) / 16000)[None]

    loudness_db = FrameLoudness()(audio)[0]

    # mean square of a sine is 1/2: 10 log10(1/2) = -3.01
    assert loudness_db.shape == (100,)
    assert_close(loudness_db[5:-5], torch.full((90,), -3.0103), atol=0.05, rtol=0)
    assert_close(loudness_db, torch.full((100,), -3.0103), atol=0.3, rtol=0)  # the ends are not softer


def test_a_steady_sound_is_as_loud_in_any_cut_of_it() -> None:
    audio = torch.full((1, 50 * 160), 0.1)

    for frames in (1, 2, 3, 50):
        assert_close(FrameLoudness()(audio[:, : frames * 160]), torch.full((1, frames), -20.0), atol=1e-3, rtol=0)


def test_frames_whose_window_lies_within_keep_every_bit() -> None:
    audio = 0.1 * torch.randn(1, 40 * 160, generator=torch.Generator().manual_seed(0))
    loudness = FrameLoudness()
    power = torch.nn.functional.pad(audio.square(), (240, 240)).unsqueeze(1)

    plain = 10.0 * torch.log10(torch.nn.functional.conv1d(power, loudness.kernel, stride=160).squeeze(1))

    assert torch.equal(loudness(audio)[:, 2:-2], plain[:, 2:-2])


def test_halving_the_amplitude_takes_six_db() -> None:
    audio = 0.2 * torch.randn(1, 3200, generator=torch.Generator().manual_seed(0))

    difference = FrameLoudness()(audio) - FrameLoudness()(audio / 2)

    assert_close(difference, torch.full_like(difference, 6.0206), atol=1e-3, rtol=0)


def test_silence_is_the_floor() -> None:
    assert_close(FrameLoudness()(torch.zeros(2, 480)), torch.full((2, 3), FLOOR_DB))


def test_loudness_of_a_frame_comes_from_its_own_time() -> None:
    audio = torch.zeros(1, 20 * 160)
    audio[0, 10 * 160 : 11 * 160] = 0.5

    loudness_db = FrameLoudness()(audio)[0]

    assert loudness_db.argmax().item() == 10
    assert_close(loudness_db[9], loudness_db[11], atol=0.3, rtol=0)
    assert loudness_db[7].item() == FLOOR_DB and loudness_db[13].item() == FLOOR_DB


@pytest.mark.parametrize(("samples", "frames"), [(0, 0), (1, 1), (160, 1), (161, 2)])
def test_begun_frame_is_a_frame(samples: int, frames: int) -> None:
    assert num_frames(samples, 160) == frames
    assert len(pad_to_frames(np.ones(samples, np.float32), 160)) == frames * 160


def test_padding_appends_zeros() -> None:
    assert pad_to_frames(np.ones(2, np.float32), 4).tolist() == [1, 1, 0, 0]


def test_at_least_one_frame_for_any_time() -> None:
    assert [seconds_to_frames(value) for value in (0.0, 0.004, 0.016, 1.0)] == [1, 1, 2, 100]
