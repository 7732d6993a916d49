"""Frames and their spectra by matrix multiplications equal slices and the FFT."""

import pytest
import torch
from torch.testing import assert_close

from utils.audio.fourier import FrameTransform, Framing, InverseTransform


@pytest.mark.parametrize(("length", "hop"), [(2048, 160), (960, 240), (160, 160), (512, 160)])
@pytest.mark.parametrize("count", [1, 7])
def test_frames_are_centred_on_their_hop(length: int, hop: int, count: int) -> None:
    framing = Framing(length, hop)
    audio = torch.arange(2.0 * (framing.before + count * hop + framing.after)).reshape(2, -1)

    frames = framing(audio)

    starts = [framing.before + hop * index - (length - hop) // 2 for index in range(count)]
    assert_close(frames, torch.stack([audio[:, start : start + length] for start in starts], dim=1), atol=0, rtol=0)


@pytest.mark.parametrize(("length", "rows"), [(2048, 32), (960, 30), (512, 16), (64, 8)])
def test_transform_equals_the_fft_under_each_window(length: int, rows: int) -> None:
    generator = torch.Generator().manual_seed(length)
    windows = torch.rand(2, length, generator=generator, dtype=torch.float64)
    frames = torch.randn(3, length, generator=generator)

    spectrum = FrameTransform(windows, rows)(frames).double()

    found = torch.complex(*spectrum.permute(0, 2, 3, 1, 4).flatten(3)[..., : length // 2 + 1])
    expected = torch.fft.rfft(frames.double()[:, None] * windows)
    assert_close(found, expected, atol=1e-6 * length**0.5, rtol=0)


@pytest.mark.parametrize(("length", "rows"), [(960, 30), (64, 8)])
def test_inverse_equals_that_of_the_fft(length: int, rows: int) -> None:
    generator = torch.Generator().manual_seed(length)
    window = torch.rand(length, generator=generator, dtype=torch.float64)
    spectrum = torch.randn(3, length // 2 + 1, generator=generator, dtype=torch.complex128)
    steps = length // rows // 2 + 1
    weights = torch.full((length // 2 + 1,), 2.0, dtype=torch.float64)
    weights[0] = weights[-1] = 1.0  # all other bins stand for their mirror images too
    parts = torch.view_as_real(spectrum * weights).float()
    padded = torch.nn.functional.pad(parts, (0, 0, 0, steps * rows - length // 2 - 1))

    frames = InverseTransform(window, rows)(padded.reshape(3, steps, rows, 2).permute(3, 1, 0, 2))

    assert_close(frames.double(), torch.fft.irfft(spectrum, n=length) * window, atol=1e-6, rtol=0)


def test_rows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="7 rows do not cut a window of 64"):
        FrameTransform(torch.ones(1, 64), 7)
