"""What holds for every architecture in configs/model: shapes, gradients, exact lengths, silence, bad input."""

from functools import cache

import pytest
import torch

from models.base import BaseVoiceConversionModel
from models.clip_random import ClipRandom
from models.conversion import AudioConverter
from models.layers.controls import Controls
from tests.tools.corpus_tools import described
from tests.tools.model_tools import MODEL_NAMES, small_model
from utils.audio.batch import VoiceBatch
from utils.audio.resample import RationalResampler
from utils.audio.synthetic_speech import voice
from utils.config.train import train_job
from utils.features.content.builtin import RandomContent
from utils.features.frontend import AnalysisFrontend, AudioFrontend
from utils.features.pitch.swift import builtin_tracker
from utils.features.retrieval import CodebookRetrieval
from utils.training.checkpoints import build_generator

NAMES = MODEL_NAMES
DIM = 16
LENGTHS = [1, 7, 239, 240, 241, 4800, 10001]


@cache
def build(name: str) -> BaseVoiceConversionModel:
    torch.manual_seed(0)
    return build_generator(train_job(small_model(name)).model, described("a", "b", "c", content={}, content_dim=DIM))


@cache
def converter(name: str, io_rate: int = 24000) -> AudioConverter:
    model = build(name) if io_rate == 24000 else build.__wrapped__(name)
    codebook = torch.randn(3, 8, DIM, generator=torch.Generator().manual_seed(0))
    resampler = RationalResampler(model.sample_rate, io_rate)
    if model.reads_audio:
        return AudioConverter(model, AudioFrontend(io_rate, model.sample_rate), None, resampler).eval()
    frontend = AnalysisFrontend(RandomContent(dim=DIM), builtin_tracker(), io_rate)
    return AudioConverter(model, frontend, CodebookRetrieval(codebook), resampler).eval()


def convert(
    through: AudioConverter,
    audio: torch.Tensor,
    *,
    pitch_shift: float = 0.0,
    speaker_id: int = 0,
    index_rate: float = 0.5,
    loudness_mix: float = 1.0,
) -> torch.Tensor:
    values = [torch.tensor(value) for value in (pitch_shift, speaker_id, index_rate, 0.33, loudness_mix)]
    with torch.no_grad():
        converted: torch.Tensor = through(audio, *values)
    return converted


def batch_of(frames: int, hop_length: int, *, seed: int = 0) -> VoiceBatch:
    generator = torch.Generator().manual_seed(seed)
    f0_hz = 150 + 50 * torch.rand(2, frames, generator=generator)
    f0_hz[1, : frames // 2] = 0.0
    return VoiceBatch(
        audio=0.1 * torch.randn(2, frames * hop_length, generator=generator),
        content=torch.randn(2, frames, DIM, generator=generator),
        f0_hz=f0_hz,
        loudness_db=-40 + 10 * torch.rand(2, frames, generator=generator),
        speaker_id=torch.tensor([0, 2]),
        num_frames=torch.tensor([frames, frames]),
        segment=torch.arange(2),
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("frames", [1, 2, 37])
def test_forward_gives_a_hop_of_samples_for_each_frame(name: str, frames: int) -> None:
    model = build(name)

    audio = model(batch_of(frames, model.hop_length))

    assert audio.shape == (2, frames * model.hop_length)
    assert bool(torch.isfinite(audio).all())


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_gets_a_finite_gradient(name: str) -> None:
    model = build.__wrapped__(name)
    batch = batch_of(20, model.hop_length)

    made = model.training_pass(batch, ClipRandom(0, batch.segment.tolist()))
    torch.stack([(made.audio - made.target).square().mean(), *made.terms.values()]).sum().backward()

    without = [key for key, value in model.named_parameters() if value.grad is None]
    assert not without
    assert all(bool(torch.isfinite(value.grad).all()) for value in model.parameters() if value.grad is not None)


@pytest.mark.parametrize("name", NAMES)
def test_a_training_pass_depends_on_its_random_numbers_alone(name: str) -> None:
    model = build(name)
    batch = batch_of(20, model.hop_length)

    first, second = (model.training_pass(batch, ClipRandom(3, batch.segment.tolist())) for _ in range(2))

    torch.testing.assert_close(first, second, atol=0, rtol=0)
    assert set(first.terms) == set(model.training_terms)
    assert first.audio.shape == first.target.shape


@pytest.mark.parametrize("name", NAMES)
def test_items_of_a_batch_do_not_touch_each_other(name: str) -> None:
    model = build(name)
    batch = batch_of(11, model.hop_length)
    rows = (model.content_of(batch), batch.f0_hz, batch.loudness_db, batch.speaker_id)

    together = model(batch)

    alone = torch.cat([model.inference(*(value[index : index + 1] for value in rows)) for index in range(2)])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_speakers_sound_different(name: str) -> None:
    model = build(name)
    batch = batch_of(11, model.hop_length)

    first, second = (
        model.inference(model.content_of(batch), batch.f0_hz, batch.loudness_db, torch.tensor([index, index]))
        for index in (0, 1)
    )

    assert (first - second).abs().max().item() > 1e-5


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("samples", LENGTHS)
def test_audio_out_is_as_long_as_audio_in(name: str, samples: int) -> None:
    audio = torch.from_numpy(voice(samples / 24000, 24000))[None].repeat(2, 1)

    converted = convert(converter(name), audio)

    assert converted.shape == (2, samples)
    assert bool(torch.isfinite(converted).all())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("io_rate", [16000, 44100])
@pytest.mark.parametrize("samples", [1, 441, 10001])
def test_length_holds_at_another_rate_than_the_model_s(name: str, io_rate: int, samples: int) -> None:
    audio = torch.from_numpy(voice(samples / io_rate, io_rate))[None]

    assert convert(converter(name, io_rate), audio).shape == (1, samples)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("samples", [1, 4801])
def test_silence_stays_silent(name: str, samples: int) -> None:
    assert convert(converter(name), torch.zeros(2, samples)).abs().max().item() == 0.0


@pytest.mark.parametrize("name", NAMES)
def test_sound_gives_sound(name: str) -> None:
    audio = torch.from_numpy(voice(0.5, 24000))[None]

    assert convert(converter(name), audio).square().mean().sqrt().item() > 1e-4


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 1e30])
def test_samples_that_are_no_audio_give_finite_audio(name: str, value: float) -> None:
    audio = torch.from_numpy(voice(0.2, 24000))[None]
    audio[0, 1000:1010] = value

    converted = convert(converter(name), audio)

    assert converted.shape == audio.shape
    assert bool(torch.isfinite(converted).all())


@pytest.mark.parametrize("name", NAMES)
def test_nan_throughout_is_silence(name: str) -> None:
    assert convert(converter(name), torch.full((1, 999), float("nan"))).abs().max().item() == 0.0


@pytest.mark.parametrize("name", NAMES)
def test_same_input_gives_the_same_output(name: str) -> None:
    audio = torch.from_numpy(voice(0.3, 24000))[None]

    assert torch.equal(convert(converter(name), audio), convert(converter(name), audio))


@pytest.mark.parametrize("name", NAMES)
def test_description_is_plain_data(name: str) -> None:
    described = build(name).describe()

    assert described["num_parameters"] == sum(value.numel() for value in build(name).parameters())
    assert {type(value) for value in described.values()} <= {int, str, float}


def test_a_model_converts_audio_as_the_converter_around_it() -> None:
    through, audio = converter("toy", 48000), torch.from_numpy(voice(0.2, 48000))[None]
    assert isinstance(through.generator, BaseVoiceConversionModel)
    controls = Controls(*(torch.tensor(value) for value in (2.0, 1, 0.5, 0.2, 0.5)))

    with torch.no_grad():
        converted = through.generator.forward_audio(
            audio, controls, frontend=through.frontend, retrieval=through.retrieval, resampler=through.resampler
        )
        expected = through(audio, *controls)

    assert torch.equal(converted, expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_recomputed_blocks_change_no_gradient(name: str) -> None:
    batch = batch_of(20, build(name).hop_length)
    found = []
    for recompute in (False, True):
        model = build.__wrapped__(name)
        count = model.recompute_blocks() if recompute else 0
        made = model.training_pass(batch, ClipRandom(0, batch.segment.tolist()))
        torch.stack([(made.audio - made.target).square().mean(), *made.terms.values()]).sum().backward()
        found.append({key: value.grad for key, value in model.named_parameters()})

    assert count > 0 or name == "toy"
    for key, value in found[0].items():
        torch.testing.assert_close(found[1][key], value, atol=0, rtol=0)
