"""VITS as a voice converter: its own rate and frames, who speaks, and what its training changes."""

import pytest
import torch

from models.clip_random import ClipRandom
from models.vits import VitsVoice
from tests.models.test_contract import batch_of
from tests.tools.model_tools import small_model
from utils.config.train import train_job
from utils.errors import ConfigError


def small(*overrides: str) -> VitsVoice:
    torch.manual_seed(0)
    voice: VitsVoice = train_job([*small_model("vits_vc"), *overrides]).model.build(content_dim=1, num_speakers=3)
    with torch.no_grad():
        for name, value in voice.named_parameters():
            if name.endswith("post.weight"):
                value.normal_(std=0.1)  # zero at the start, which would make all speakers one
    return voice.eval()


def test_its_own_frames_cover_the_recording_and_come_back_in_time() -> None:
    voice, seconds = small(), torch.arange(44100) / 44100
    audio = torch.sin(2 * torch.pi * 440 * seconds)[None]

    own = voice.own_audio(audio)

    assert own.shape[1] % voice.own_hop == 0 and 22050 < own.shape[1] <= 22050 + 4 * voice.own_hop
    inside = slice(2000, -2000)
    torch.testing.assert_close(voice.from_own(own)[:, :44100][:, inside], audio[:, inside], atol=1e-3, rtol=0)


def test_content_and_spectrogram_have_the_published_frames() -> None:
    voice = small()

    spectrogram = voice.spectrogram(torch.randn(1, 36 * 256))

    assert spectrogram.shape == (1, 513, 36)


def test_the_same_speaker_gives_the_latent_back() -> None:
    voice = small()
    spectrogram, speaker = voice.spectrogram(torch.randn(1, 20 * 256)), torch.tensor([1])

    made = voice.convert(spectrogram, speaker, speaker)

    torch.testing.assert_close(made.latent, made.posterior.mean, atol=1e-5, rtol=1e-4)


def test_who_speaks_and_who_shall_speak_both_matter() -> None:
    voice, batch = small(), batch_of(30, 441)
    content, f0_hz, loudness_db = voice.content_of(batch), batch.f0_hz, batch.loudness_db

    def convert(source: int, target: int) -> torch.Tensor:
        return voice.inference(
            content, f0_hz, loudness_db, torch.tensor([target, target]), source_id=torch.tensor(source)
        )

    with torch.no_grad():
        base, other_source, other_target = convert(0, 1), convert(2, 1), convert(0, 2)

    assert float((base - other_source).abs().max()) > 1e-5
    assert float((base - other_target).abs().max()) > 1e-5


def test_a_latent_that_is_kept_leaves_the_decoder_alone_to_learn() -> None:
    voice, batch = small("model.keeps_latent=true").train(), batch_of(40, 441)

    made = voice.training_pass(batch, ClipRandom(0, batch.segment.tolist()))
    ((made.audio - made.target).square().mean() + made.terms["kl"]).backward()

    learns = {name.split(".")[0] for name, value in voice.named_parameters() if value.grad is not None}
    assert learns == {"dec"}


def test_padding_does_not_change_what_is_decoded() -> None:
    voice, batch = small().train(), batch_of(40, 441)
    longer = batch_of(60, 441)
    longer.audio[:] = 0.0
    longer.audio[:, : 40 * 441] = batch.audio
    longer.num_frames[:] = 40

    alone, padded = (voice.training_pass(each, ClipRandom(0, [0, 1])) for each in (batch, longer))

    assert alone.target.shape == padded.target.shape == (2, voice.training_frames * voice.own_hop)
    assert float((alone.target - padded.target).abs().max()) < 1e-3


def test_another_rate_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"model\.sample_rate=48000: VITS has 22050 Hz inside; choose audio=vits"):
        train_job(["model=vits_vc", "audio=48k"]).model.build(content_dim=1, num_speakers=2)
