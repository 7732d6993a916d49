"""RVC's networks: padding, noise, inversion, the training pass; the exported graph."""

import math
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from models.clip_random import ClipRandom
from models.conversion import AudioConverter
from models.layers.rvc_decoder import SineSource
from models.layers.rvc_encoders import Flow, Gaussian, RelativeAttention, quantize_f0
from models.layers.weight_norm import WeightNormConv1d, WeightNormConv2d, WeightNormConvTranspose1d
from models.rvc import RVCModel, kl_divergence, random_stretches
from models.rvc_discriminators import RvcDiscriminator
from tests.tools.model_tools import small_model
from utils.audio.batch import VoiceBatch
from utils.audio.resample import RationalResampler
from utils.config.train import train_job
from utils.errors import ConfigError
from utils.export.graph import build_graph, control_tensors
from utils.export.tracing import GraphOptions
from utils.voice_file.controls import ControlDefaults

DIM, HOP = 16, 320


def small(*overrides: str, name: str = "rvc_v2_32k") -> RVCModel:
    torch.manual_seed(0)
    node = train_job([*small_model(name), *overrides]).model
    voice: RVCModel = node.build(content_dim=DIM, num_speakers=3)
    return voice.eval()


def noises(count: int, frames: int, *, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "prior_noise": torch.randn(count, 16, frames, generator=generator),
        "source_noise": torch.randn(count, frames * HOP, generator=generator),
    }


def features(count: int, frames: int, *, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    f0_hz = 100 + 200 * torch.rand(count, frames, generator=generator)
    f0_hz[:, : frames // 3] = 0.0
    return torch.randn(count, frames, DIM, generator=generator), f0_hz, torch.arange(count) % 3


def batch_of(count: int, frames: int) -> VoiceBatch:
    content, f0_hz, speaker_id = features(count, frames)
    audio = 0.1 * torch.randn(count, frames * HOP, generator=torch.Generator().manual_seed(5))
    loudness_db, num_frames = torch.full((count, frames), -30.0), torch.full((count,), frames)
    return VoiceBatch(audio, content, f0_hz, loudness_db, speaker_id, num_frames, torch.arange(count))


def scramble(module: nn.Module) -> nn.Module:
    """Give every parameter a random value, also those that start at zero."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in module.parameters():
            value.copy_(0.2 * torch.randn(value.shape, generator=generator))
    return module


def test_pitch_bins_are_mel_spaced_from_one_to_255() -> None:
    # 50 Hz is bin 1, 1100 Hz is bin 255; 440 Hz: mel 549.64 of 77.76..1064.41 -> 122.49 + 1 -> 122
    f0_hz = torch.tensor([[0.0, 10.0, 50.0, 440.0, 1100.0, 5000.0]])

    assert quantize_f0(f0_hz).tolist() == [[1, 1, 1, 122, 255, 255]]


@pytest.mark.parametrize("frames", [1, 5, 30])
def test_attention_equals_the_sum_written_out(frames: int) -> None:
    attention = scramble(RelativeAttention(8, 2, window=3))
    assert isinstance(attention, RelativeAttention)
    x = torch.randn(1, 8, frames, generator=torch.Generator().manual_seed(0))
    query, key, value = (layer(x)[0].reshape(2, 4, frames) for layer in
                         (attention.conv_q, attention.conv_k, attention.conv_v))  # fmt: skip

    expected = torch.zeros(2, 4, frames)
    for head in range(2):
        for here in range(frames):
            scores, values = [], []
            for there in range(frames):
                offset = there - here
                near = abs(offset) <= 3
                distance_key = attention.emb_rel_k[0, offset + 3] if near else torch.zeros(4)
                distance_value = attention.emb_rel_v[0, offset + 3] if near else torch.zeros(4)
                scores.append(query[head, :, here] @ (key[head, :, there] + distance_key) / 2.0)
                values.append(value[head, :, there] + distance_value)
            shares = torch.softmax(torch.stack(scores), dim=0)
            expected[head, :, here] = sum(share * item for share, item in zip(shares, values, strict=True))

    assert_close(attention(x), attention.conv_o(expected.reshape(1, 8, frames)), atol=1e-5, rtol=1e-4)


def test_flow_is_undone_by_its_reverse() -> None:
    flow = scramble(Flow(8, 4))
    assert isinstance(flow, Flow)
    latent, speaker = torch.randn(2, 8, 11), torch.randn(2, 4, 1)

    mapped = flow(latent, speaker)

    assert (mapped - latent).abs().max().item() > 0.01
    assert_close(flow.reverse(mapped, speaker), latent, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("ours", "plain", "shape"),
    [
        (WeightNormConv1d(4, 6, 3, padding=1), nn.Conv1d(4, 6, 3, padding=1), (2, 4, 9)),
        (WeightNormConv2d(4, 6, (3, 1)), nn.Conv2d(4, 6, (3, 1)), (2, 4, 9, 2)),
        (WeightNormConvTranspose1d(4, 6, 4, stride=2, padding=1), nn.ConvTranspose1d(4, 6, 4, 2, 1), (2, 4, 9)),
    ],
)
def test_weight_norm_is_a_direction_times_a_length(ours: Any, plain: Any, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x = torch.randn(shape)
    scramble(ours)
    with torch.no_grad():
        rest = tuple(range(1, ours.weight_v.dim()))
        plain.weight.copy_(ours.weight_g * ours.weight_v / ours.weight_v.square().sum(rest, keepdim=True).sqrt())
        plain.bias.copy_(ours.bias)

    assert_close(ours(x), plain(x), atol=1e-5, rtol=1e-5)
    assert sorted(ours.state_dict()) == ["bias", "weight_g", "weight_v"]


def test_source_is_one_sine_whose_phase_runs_through_the_frames() -> None:
    source = SineSource(32000, HOP)
    nn.init.ones_(source.l_linear.weight)
    nn.init.zeros_(source.l_linear.bias)
    f0_hz = torch.tensor([[100.0, 210.0, 0.0, 330.0]])
    noise = torch.ones(1, 4 * HOP)

    with torch.no_grad():
        found = source(f0_hz, noise)[0].numpy()

    by_sample = np.repeat(f0_hz[0].double().numpy(), HOP)
    sine = 0.1 * np.sin(2 * np.pi * np.cumsum(by_sample / 32000)) + 0.003
    np.testing.assert_allclose(found, np.tanh(np.where(by_sample > 0, sine, 0.1 / 3)), atol=1e-6)


def test_kl_of_equal_distributions_is_what_the_sample_says() -> None:
    prior = Gaussian(torch.full((1, 2, 3), 0.5), torch.full((1, 2, 3), 0.3))
    mask = torch.tensor([[[1.0, 1.0, 0.0]]])
    log_std = torch.full((1, 2, 3), 0.1)

    cost = kl_divergence(torch.full((1, 2, 3), 1.5), log_std, prior, mask)

    # per channel 0.3 - 0.1 - 0.5 + 0.5 * (1.5 - 0.5)^2 * exp(-0.6); two channels, mean over the frames that count
    assert cost.item() == pytest.approx(2 * (-0.3 + 0.5 * math.exp(-0.6)), rel=1e-6)


def test_random_stretches_lie_before_the_padding_and_reach_its_edge() -> None:
    batch = batch_of(3, 50)
    batch.num_frames = torch.tensor([50, 14, 5])
    clip_random = ClipRandom(0, [0, 1, 2])

    found = torch.stack([random_stretches(batch, 12, clip_random) for _ in range(200)])

    assert found.shape == (200, 3, 12)
    assert bool((found.diff(dim=2) == 1).all())
    assert set(found[:, 0, 0].tolist()) == set(range(39))
    assert set(found[:, 1, 0].tolist()) == {0, 1, 2}
    assert set(found[:, 2, 0].tolist()) == {0}


def test_a_training_pass_returns_the_recorded_audio_of_the_part_it_decodes() -> None:
    voice, batch = small(), batch_of(2, 30)
    batch.audio = torch.arange(30.0 * HOP).expand(2, -1).clone()

    made = voice.training_pass(batch, ClipRandom(0, batch.segment.tolist()))

    assert made.audio.shape == made.target.shape == (2, 12 * HOP)
    assert bool((made.target.diff(dim=1) == 1).all())
    assert bool((made.target[:, 0] % HOP == 0).all())


def test_mixed_precision_keeps_audio_and_losses_in_32_bits() -> None:
    voice, batch = small(), batch_of(2, 30)
    exact = voice.training_pass(batch, ClipRandom(0, batch.segment.tolist()))

    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = voice.training_pass(batch, ClipRandom(0, batch.segment.tolist()))

    assert mixed.audio.dtype == mixed.terms["kl"].dtype == torch.float32
    assert_close(mixed.terms["kl"], exact.terms["kl"], rtol=0.05, atol=0)
    assert_close(mixed.audio, exact.audio, rtol=0, atol=0.05 * exact.audio.abs().max().item())


def test_padding_does_not_reach_the_rest() -> None:
    voice = small()
    scramble(voice.flow)
    whole = batch_of(2, 40)
    whole.num_frames = torch.tensor([40, 25])
    short = VoiceBatch(**{key: value[1:] for key, value in vars(whole).items()})
    short.content, short.f0_hz = short.content[:, :25], short.f0_hz[:, :25]
    short.num_frames = torch.tensor([25])

    with torch.no_grad():
        padded, alone = voice(whole)[1:], voice(short)

    # the decoder sees silence behind the clip instead of its end
    inside = (25 - 8) * HOP
    assert_close(padded[:, :inside], alone[:, :inside], atol=1e-5, rtol=1e-3)


def test_noise_is_an_argument_and_both_kinds_reach_the_output() -> None:
    voice, inputs, noise = small(), features(1, 20), noises(1, 20)

    with torch.no_grad():
        first, again = (voice.convert(*inputs, **noise).audio for _ in range(2))
        others = [voice.convert(*inputs, **{**noise, name: -value}).audio for name, value in noise.items()]

    assert torch.equal(first, again)
    assert all((first - other).abs().max().item() > 1e-6 for other in others)


def test_without_f0_the_pitch_has_no_effect() -> None:
    voice = small("model.use_f0=false")
    content, f0_hz, speaker_id = features(2, 20)

    with torch.no_grad():
        first, second = (voice.inference(content, pitch, f0_hz, speaker_id) for pitch in (f0_hz, 2 * f0_hz))

    assert torch.equal(first, second)
    assert not [key for key in voice.state_dict() if "emb_pitch" in key or "noise_convs" in key or "m_source" in key]


def test_scores_come_from_each_part_and_the_last_map_is_the_score() -> None:
    judge = RvcDiscriminator(periods=(2, 5), channels=64)

    output = judge(torch.randn(2, 4001, generator=torch.Generator().manual_seed(0)))

    assert [len(maps) for maps in output.features] == [7, 6, 6]
    assert [tuple(score.shape) for score in output.scores] == [(2, 16), (2, 50), (2, 50)]
    assert all(torch.equal(score, maps[-1].flatten(1)) for score, maps in zip(*output, strict=True))


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["audio=rvc_48k"], "experiment=rvc"),
        (["model.upsample_kernel_sizes=[20,16,4,3]"], "even number"),
        (["model.upsample_kernel_sizes=[20,16,4]"], "one per rate"),
        (["model.training_frames=3"], "at least 4"),
    ],
)
def test_stages_that_do_not_fit_are_refused(overrides: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        train_job([*small_model("rvc_v2_32k"), *overrides]).model.build(content_dim=DIM,
                    num_speakers=1)  # fmt: skip


class PlainAnalysis(nn.Module):
    """A front end of one projection."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(HOP, DIM)

    def forward(self, audio: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        content = 10 * self.project(audio.reshape(audio.shape[0], -1, HOP))
        f0_hz = 200 + 20 * content[:, :, 0]
        return content, f0_hz, torch.full_like(f0_hz, -20.0)


@pytest.mark.slow
@pytest.mark.parametrize("use_f0", ["true", "false"])
def test_exported_graph_equals_the_network_at_any_length_and_batch(use_f0: str) -> None:
    voice = small(f"model.use_f0={use_f0}").requires_grad_(False)
    scramble(voice.flow)
    resampler = RationalResampler(100 * HOP, 100 * HOP)
    converter = AudioConverter(voice, PlainAnalysis().requires_grad_(False), None, resampler)
    defaults = ControlDefaults()

    graph = build_graph(converter, sample_rate=100 * HOP, defaults=defaults, options=GraphOptions(), metadata={})

    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    for batch, length in ((1, 1), (3, 2 * HOP + 1), (1, 90 * HOP), (2, 150 * HOP + 7), (1, 520 * HOP)):
        audio = 0.1 * torch.randn(batch, length, generator=torch.Generator().manual_seed(length))
        with torch.no_grad():
            expected = converter(audio, *control_tensors(defaults))
        found = torch.from_numpy(session.run(None, {"audio": audio.numpy()})[0])
        assert_close(found, expected, atol=2e-5, rtol=1e-4)
        assert expected.abs().max().item() > 1e-3
    assert not [node.name for node in graph.graph.node if any("weight_v" in name for name in node.input)]
