"""What makes RVC fast changes no number: memory layouts, folds, blocks of attention, two gradients from one pass."""

import copy

import pytest
import torch
import torch.nn.functional as functional
from torch import Tensor, nn
from torch.testing import assert_close

from models.discriminators import DiscriminatorOutput
from models.export_forms.rvc import attend_in_a_loop
from models.layers import relative_attention
from models.layers.relative_attention import attend
from models.layers.rvc_decoder import HifiGanDecoder, ResidualBlock
from models.layers.weight_norm import WeightNormConvTranspose1d, as_line
from models.rvc_discriminators import PeriodDiscriminator, RvcDiscriminator
from tests.training.test_rvc import batch_of_ones, make


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def gradients(network: nn.Module, output: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(output.square().mean(), list(network.parameters())))


@pytest.mark.parametrize(
    "network",
    [ResidualBlock(8, 3, (1, 3, 5)), WeightNormConvTranspose1d(8, 4, 4, stride=2, padding=1)],
    ids=["dilated", "transposed"],
)
def test_a_line_of_samples_gives_what_a_row_does(network: nn.Module) -> None:
    x = noise(2, 8, 50)

    row, line = network(x), network(as_line(x))

    assert line.is_contiguous(memory_format=torch.channels_last)
    assert_close(line.squeeze(2), row, atol=1e-6, rtol=1e-5)
    assert_close(gradients(network, line), gradients(network, row), atol=1e-6, rtol=1e-4)


def test_decoder_in_lines_gives_what_it_gives_in_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    decoder = HifiGanDecoder(
        channels=4, sample_rate=800, upsample_rates=[4, 2], upsample_kernel_sizes=[8, 4], upsample_channels=16,
        resblock_kernel_sizes=[3, 7], resblock_dilations=[[1, 3], [1, 3]], speaker_dim=2, use_f0=True,
    )  # fmt: skip
    given = noise(2, 4, 30), torch.full((2, 30), 90.0), noise(2, 2, 1), noise(2, 240)

    row = decoder(*given)
    monkeypatch.setattr("models.layers.rvc_decoder.prefers_lines", lambda x: True)
    line = decoder(*given)

    assert_close(line, row, atol=1e-6, rtol=1e-5)
    assert_close(gradients(decoder, line), gradients(decoder, row), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("period", [2, 11, 37])
def test_a_discriminator_of_a_period_sees_columns_whichever_way_it_is_folded(period: int) -> None:
    torch.manual_seed(0)
    discriminator = PeriodDiscriminator(period, 64)
    audio = noise(2, 1, 17280)

    found = discriminator(audio)

    x = functional.pad(audio, (0, -17280 % period), mode="reflect").reshape(2, 1, -1, period)
    for layer, strides in zip(discriminator.convs, (3, 3, 3, 3, 1), strict=True):
        weight = torch._weight_norm(layer.weight_v, layer.weight_g, 0)  # type: ignore[arg-type]
        x = functional.leaky_relu(functional.conv2d(x, weight, layer.bias, (strides, 1), (2, 0)), 0.1)  # type: ignore[arg-type]
        assert_close(found.pop(0), x, atol=1e-5, rtol=1e-4)
    weight = torch._weight_norm(discriminator.conv_post.weight_v, discriminator.conv_post.weight_g, 0)
    assert_close(
        found.pop(0), functional.conv2d(x, weight, discriminator.conv_post.bias, 1, (1, 0)), atol=1e-5, rtol=1e-4
    )
    assert not found


@pytest.mark.parametrize("is_masked", [False, True])
def test_attention_in_blocks_equals_attention_at_once(monkeypatch: pytest.MonkeyPatch, is_masked: bool) -> None:
    query, key, value = (noise(2, 3, 29, 4, seed=seed).requires_grad_() for seed in range(3))
    near_key, near_value = noise(1, 7, 4, seed=3).requires_grad_(), noise(1, 7, 4, seed=4).requires_grad_()
    mask = (torch.arange(29) < torch.tensor([[29], [20]])).float().unsqueeze(1) if is_masked else None
    given = (query, key, value, near_key, near_value)

    whole = attend(*given, mask)
    monkeypatch.setattr(relative_attention, "BLOCK_FRAMES", 5)
    parts = attend(*given, mask)

    assert_close(parts, whole, atol=1e-6, rtol=1e-5)
    for found, expected in zip(
        torch.autograd.grad(parts.square().sum(), given), torch.autograd.grad(whole.square().sum(), given), strict=True
    ):
        assert_close(found, expected, atol=1e-4, rtol=1e-4)
    if not is_masked:
        looped = torch.jit.script(attend_in_a_loop)(query / 2.0, *given[1:], 5)
        assert_close(looped, whole, atol=1e-6, rtol=1e-5)


def test_attention_over_long_audio_never_holds_the_whole_table(monkeypatch: pytest.MonkeyPatch) -> None:
    largest = 0
    softmax = torch.softmax

    def watching(scores: Tensor, dim: int) -> Tensor:
        nonlocal largest
        largest = max(largest, scores.numel())
        return softmax(scores, dim)

    monkeypatch.setattr(torch, "softmax", watching)
    x = noise(1, 1, 3000, 2)

    attend(x, x, x, noise(1, 21, 2), noise(1, 21, 2))

    assert largest == relative_attention.BLOCK_FRAMES * 3000


def test_one_pass_gives_both_networks_the_gradients_of_two() -> None:
    torch.manual_seed(0)
    discriminator = RvcDiscriminator(periods=(2, 5), channels=64)
    weights = {"spectral": 0.0, "adversarial": 1.0, "feature_matching": 2.0, "kl": 0.0}
    module = make(discriminator=discriminator, loss_weights=weights)
    plain, batch = copy.deepcopy(discriminator), batch_of_ones()
    batch.audio.copy_(noise(1, 640))
    level = torch.tensor(0.5, requires_grad=True)
    target = batch.audio[:, :320]

    metrics = module.backward_all(batch, is_adversarial=True)

    real, fake = plain(target), plain(level * target)
    losses = [(1 - a).square().mean() + b.square().mean() for a, b in zip(real.scores, fake.scores, strict=True)]
    expected = torch.autograd.grad(torch.stack(losses).sum(), list(plain.parameters()), retain_graph=True)
    assert_close([value.grad for value in discriminator.parameters()], list(expected), atol=1e-6, rtol=1e-4)
    (surrogate,) = torch.autograd.grad(generator_loss(real, fake), level)
    assert_close(dict(module.generator.named_parameters())["level"].grad, surrogate, atol=1e-5, rtol=1e-4)
    assert metrics["generator/total"].item() == pytest.approx(generator_loss(real, fake).item(), rel=1e-5)


def generator_loss(real: DiscriminatorOutput, fake: DiscriminatorOutput) -> Tensor:
    score = torch.stack([(1 - score).square().mean() for score in fake.scores]).sum()
    pairs = [(a, b) for x, y in zip(real.features, fake.features, strict=True) for a, b in zip(x, y, strict=True)]
    return score + 2 * torch.stack([(a.detach() - b).abs().mean() for a, b in pairs]).sum()
