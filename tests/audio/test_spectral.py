"""The one short-time transform: exact inverse, two equal forms, frames where the features have theirs."""

import math

import librosa
import numpy as np
import pytest
import torch
from torch.testing import assert_close

from utils.audio.spectral import LOG_FLOOR, LogMelSpectrogram, Stft, extract_mel_spectrogram
from utils.config import AudioConfig

SIZES = [(960, 240), (640, 160), (512, 160), (1920, 480), (128, 32), (8, 4)]
CONFIG = AudioConfig(sample_rate=24000, hop_length=240, n_fft=960, n_mels=100, f_min=0.0, f_max=12000.0)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def slow_frame(audio: np.ndarray, n_fft: int, hop: int, frame: int) -> np.ndarray:
    """Discrete Fourier transform by its definition of one frame, centred on its hop samples."""
    first = frame * hop + hop // 2 - n_fft // 2
    time = np.arange(n_fft)
    inside = (first + time >= 0) & (first + time < len(audio))
    samples = np.where(inside, audio[np.clip(first + time, 0, len(audio) - 1)], 0.0)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * time / n_fft)
    bins = np.arange(n_fft // 2 + 1)[:, None]
    return (np.exp(-2j * np.pi * bins * time / n_fft) * samples * window).sum(1)


@pytest.mark.parametrize(("n_fft", "hop"), SIZES)
@pytest.mark.parametrize("in_graph_form", [False, True], ids=["fft", "graph"])
def test_inverse_of_forward_is_the_signal(n_fft: int, hop: int, in_graph_form: bool) -> None:
    stft = Stft(n_fft, hop).graph_form() if in_graph_form else Stft(n_fft, hop)
    audio = noise(2, 7 * hop)

    restored = stft.inverse(*stft(audio))

    assert_close(restored, audio, atol=2e-5, rtol=0)


@pytest.mark.parametrize(("n_fft", "hop"), SIZES)
def test_graph_form_equals_fft_form(n_fft: int, hop: int) -> None:
    stft = Stft(n_fft, hop)
    audio, real, imaginary = noise(2, 6 * hop), noise(2, n_fft // 2 + 1, 6, seed=1), noise(2, n_fft // 2 + 1, 6, seed=2)
    forward, inverse = stft(audio), stft.inverse(real, imaginary)

    form = stft.graph_form()

    tolerance = 1e-4 * math.sqrt(n_fft)
    assert_close(form(audio)[0], forward[0], atol=tolerance, rtol=0)
    assert_close(form(audio)[1], forward[1], atol=tolerance, rtol=0)
    assert_close(form.inverse(real, imaginary), inverse, atol=1e-4, rtol=1e-4)


def test_forward_equals_the_definition() -> None:
    audio = noise(1, 5 * 12)

    real, imaginary = Stft(32, 12)(audio)

    for frame in range(5):
        expected = slow_frame(audio[0].double().numpy(), 32, 12, frame)
        assert_close(real[0, :, frame].double().numpy(), expected.real, atol=1e-5, rtol=0)
        assert_close(imaginary[0, :, frame].double().numpy(), expected.imag, atol=1e-5, rtol=0)


def test_cosine_on_a_bin_has_half_the_window_sum_there() -> None:
    time = torch.arange(40 * 240)
    audio = torch.cos(2 * math.pi * 40 * time / 960)[None]

    power = Stft(960, 240).power(audio)[0, :, 20]

    # the Hann window of 960 samples sums to 480; a cosine of amplitude 1 gives half of it, its neighbours a quarter
    assert power[40].sqrt().item() == pytest.approx(240.0, rel=1e-4)
    assert power[41].sqrt().item() == pytest.approx(120.0, rel=1e-4)
    assert power[43].sqrt().item() == pytest.approx(0.0, abs=1e-2)


@pytest.mark.parametrize("n_fft", [512, 1024, 2048])
def test_click_is_strongest_in_the_frame_that_holds_it(n_fft: int) -> None:
    audio = torch.zeros(1, 40 * 160)
    audio[0, 17 * 160 + 80] = 1.0

    energy = Stft(n_fft, 160).power(audio).sum(1)[0]

    assert energy.argmax().item() == 17
    # a frame's centre lies between two samples, so the click is half a sample off
    assert_close(energy[16], energy[18], rtol=0.02, atol=0)


def test_number_of_frames_is_samples_by_hop() -> None:
    for frames in (1, 2, 9):
        assert Stft(960, 240)(torch.zeros(1, frames * 240))[0].shape == (1, 481, frames)


def test_a_window_shorter_than_a_hop_is_refused() -> None:
    with pytest.raises(ValueError, match="must not be less than hop_length 240"):
        Stft(160, 240)


def test_frames_of_an_odd_difference_are_centred_half_a_sample_late() -> None:
    """Window 961, hop 240: 360 samples before the frame and 361 behind it."""
    audio = torch.zeros(1, 5 * 240)
    audio[0, 2 * 240 + 120] = 1.0  # half a sample behind the middle of frame 2
    energy = sum(part.square() for part in Stft(961, 240)(audio))[0]

    assert_close(energy[:, 2], torch.full((481,), float(torch.hann_window(961)[480].square())), rtol=1e-5, atol=0)


@pytest.mark.slow
def test_log_mel_equals_librosa_on_the_same_frames() -> None:
    audio = noise(1, 30 * 240)
    padded = np.pad(audio[0].numpy(), (480 - 120, 480 - 120))

    ours = extract_mel_spectrogram(audio, CONFIG)[0].numpy()

    spectrum = np.abs(librosa.stft(padded, n_fft=960, hop_length=240, center=False))
    magnitude = librosa.filters.mel(sr=24000, n_fft=960, n_mels=100, fmin=0, fmax=12000) @ spectrum
    assert magnitude.shape == ours.shape == (100, 30)
    np.testing.assert_allclose(ours, np.log(np.maximum(magnitude, LOG_FLOOR)), atol=1e-3)


@pytest.mark.parametrize(("samples", "frames"), [(1, 1), (239, 1), (240, 1), (241, 2)])
def test_begun_frame_counts(samples: int, frames: int) -> None:
    assert extract_mel_spectrogram(torch.zeros(1, samples), CONFIG).shape == (1, 100, frames)


def test_silence_gives_the_floor_and_a_finite_gradient() -> None:
    audio = torch.zeros(1, 10 * 240, requires_grad=True)
    mel = LogMelSpectrogram(sample_rate=24000, n_fft=960, hop_length=240, n_mels=8, f_min=0.0, f_max=12000.0)

    value = mel(audio)
    value.sum().backward()

    assert audio.grad is not None and bool(torch.isfinite(audio.grad).all())
    assert value.min().item() >= math.log(LOG_FLOOR) - 1e-4
    assert value.max().item() < math.log(1e-3)
