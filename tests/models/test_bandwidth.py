"""Weights of a light voice at another sample rate than they were made for."""

from typing import Any

import torch

from models.lite import LiteVoice
from utils.config.train import train_job
from utils.training.losses import build_spectral_loss

FRAMES = 200


def small_lite(rate: int) -> LiteVoice:
    """Return a small voice at a rate, with filters that one can hear."""
    torch.manual_seed(1)
    voice = LiteVoice(
        sample_rate=rate, n_fft=rate // 25, content_dim=8, num_speakers=1, channels=16, num_blocks=1, speaker_dim=4
    )
    torch.nn.init.normal_(voice.head.project.weight, std=0.1)
    return voice.eval()


def levels(voice: LiteVoice) -> list[float]:
    """Return the level in dB of what a voice makes, in bands up to 7.9 kHz, where rates have the same bins."""
    torch.manual_seed(5)
    content = torch.randn(1, FRAMES, voice.content_dim)
    f0 = 140.0 + 30.0 * torch.sin(torch.arange(FRAMES) / 20.0)[None]
    f0[:, 80:120] = 0
    with torch.no_grad():
        audio = voice.inference(content, f0, torch.full((1, FRAMES), -25.0), torch.zeros(1, dtype=torch.int64))[0]
    window = voice.sample_rate // 50
    pieces = audio.unfold(0, window, window // 2) * torch.hann_window(window)
    # of a density: the sums of a longer window grow with it
    power = torch.fft.rfft(pieces).abs().square().mean(dim=0) / window / voice.sample_rate
    edges = [(50, 500), (500, 2000), (2000, 5000), (5000, 7900)]
    return [10 * float(torch.log10(power[low // 50 : high // 50].mean())) for low, high in edges]


def test_a_voice_sounds_the_same_at_each_rate() -> None:
    base = small_lite(24000)
    weights = base.state_dict()
    for rate in (16000, 32000, 48000):
        other, fitted = small_lite(rate), dict(weights)
        assert f"481 frequency bins became {rate // 50 + 1}" in other.fit_weights(fitted)
        other.load_state_dict(fitted)
        differences = [abs(ours - theirs) for ours, theirs in zip(levels(other), levels(base), strict=True)]
        assert max(differences) < 0.5, (rate, differences)


def test_new_bins_begin_as_the_highest_of_the_old() -> None:
    base, other = small_lite(24000), small_lite(48000)
    with torch.no_grad():
        base.head.project.bias.copy_(torch.arange(3 * 481.0))
    fitted = dict(base.state_dict())
    other.fit_weights(fitted)
    gain, phase, noise = fitted["head.project.bias"].split(961)
    rise = 0.5 * torch.log(torch.tensor(2.0))
    assert torch.allclose(gain[:480], torch.arange(480.0) + rise) and torch.equal(phase[:480], torch.arange(481.0, 961))
    assert torch.allclose(gain[480:], torch.tensor(449.5) + rise)  # the mean of 420 to 479
    assert torch.allclose(phase[480:], torch.tensor(449.5 + 481)) and torch.allclose(noise[480:], 449.5 + 962 + rise)


def test_weights_of_the_same_rate_stay() -> None:
    base = small_lite(24000)
    fitted = dict(base.state_dict())
    assert small_lite(24000).fit_weights(fitted) == ""
    assert all(torch.equal(value, base.state_dict()[name]) for name, value in fitted.items())
    assert small_lite(24000).fit_weights({"something.else": torch.zeros(3)}) == ""


def test_bins_that_lie_elsewhere_are_not_taken_for_those_of_another_rate() -> None:
    longer = LiteVoice(sample_rate=24000, n_fft=1920, content_dim=8, num_speakers=1, channels=16, num_blocks=1)
    fitted = dict(small_lite(24000).state_dict())

    assert longer.fit_weights(fitted) == "" and len(fitted["head.project.bias"]) == 3 * 481


def test_an_experiment_at_48_khz_has_windows_as_long_as_those_of_24_khz() -> None:
    seconds = {}
    for name, options in {"24": [], "48": ["experiment=lite_48k"]}.items():
        job = train_job([*options, "dataset.name=x"])
        assert job.discriminator is not None
        loss: Any = build_spectral_loss(job.loss.objective, job.audio, longest=job.loss.longest_window)
        windows = [part.stft.n_fft for network in (loss, job.discriminator.build()) for part in network.parts]
        seconds[name] = [window / job.audio.sample_rate for window in windows]

    assert len(seconds["24"]) == 8 and seconds["24"] == seconds["48"]
