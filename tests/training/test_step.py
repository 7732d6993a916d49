"""The adversarial step: who gets which gradient, what a step is, the schedule, the names of its figures."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from models.adversarial import TERMS
from models.discriminators import MultiResolutionDiscriminator
from tests.tools.step_tools import (
    HOP,
    Loose,
    batch_of,
    fit,
    gradients,
    make,
    weights,
)
from utils.errors import ConfigError

pytestmark = pytest.mark.filterwarnings("ignore:.*no .val_dataloader.*")


def test_generator_phase_leaves_no_gradient_in_the_discriminator() -> None:
    module, batch = make(kind=Loose), batch_of(2)
    discriminator = copy.deepcopy(module.discriminator)
    with torch.no_grad():
        fake = module.generator(batch)

    module.backward_all(batch, is_adversarial=True)

    # least squares by hand, over both resolutions
    real_scores, fake_scores = discriminator(batch.audio).scores, discriminator(fake).scores
    losses = [(1 - a).square().mean() + b.square().mean() for a, b in zip(real_scores, fake_scores, strict=True)]
    torch.stack(losses).mean().backward()
    assert len(gradients(discriminator)) == len(gradients(module.discriminator)) > 0
    for found, expected in zip(gradients(module.discriminator), gradients(discriminator), strict=True):
        assert_close(found, expected, atol=1e-6, rtol=1e-4)


def test_discriminator_phase_leaves_no_gradient_in_the_generator() -> None:
    nothing = dict.fromkeys(TERMS, 0.0)
    module = make(kind=Loose, loss_weights=nothing)

    module.backward_all(batch_of(2), is_adversarial=True)

    assert gradients(module.discriminator)
    assert all(float(value.abs().max()) == 0.0 for value in gradients(module.generator))


def test_generator_learns_from_the_adversary() -> None:
    only = {"spectral": 0.0, "adversarial": 1.0, "feature_matching": 0.0}
    module = make(kind=Loose, loss_weights=only)

    module.backward_all(batch_of(2), is_adversarial=True)

    assert any(float(value.abs().max()) > 0 for value in gradients(module.generator))
    assert all(parameter.requires_grad for parameter in module.discriminator.parameters())


@pytest.mark.parametrize("given", [{"spectral": 1.0}, dict.fromkeys([*TERMS, "extra"], 1.0), {}])
def test_wrong_loss_names_are_refused_naming_both_sets(given: dict[str, float]) -> None:
    with pytest.raises(ConfigError) as caught:
        make(loss_weights=given)

    assert all(name in str(caught.value) for name in [*given, *TERMS])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("with_discriminator", [True, False])
def test_steps_count_generator_updates(with_discriminator: bool) -> None:
    module = make(with_discriminator)

    fit(module, [batch_of(2)] * 3)

    assert module.steps == 3


def test_adversary_waits_for_its_start() -> None:
    before = weights(make().discriminator)
    early, late = make(adversarial_start=2), make(adversarial_start=2)

    fit(early, [batch_of(2)] * 2)
    fit(late, [batch_of(2)] * 3)

    assert_close(weights(early.discriminator), before, atol=0, rtol=0)
    assert (weights(late.discriminator) - before).abs().max().item() > 0
    assert (early.steps, late.steps) == (2, 3)


def test_schedule_changes_the_learning_rate_of_both_optimizers() -> None:
    module = make(schedule=lambda step: 1.0 / (1 + step))

    recorder = fit(module, [batch_of(2)] * 4)

    expected = [[0.01 / step] * 2 for step in (1, 2, 3, 4)]
    assert_close(torch.tensor(recorder.rates), torch.tensor(expected), atol=1e-9, rtol=0)


def test_metrics_have_the_names_of_the_house() -> None:
    metrics = fit(make(), [batch_of(2)]).metrics

    assert {
        "train/generator/spectral", "train/generator/adversarial", "train/generator/feature_matching",
        "train/generator/total", "train/generator/gradient_norm", "train/discriminator/total",
        "train/discriminator/gradient_norm",
    } <= metrics  # fmt: skip


def test_adversary_sees_only_its_frames() -> None:
    seen: list[int] = []

    class Watching(MultiResolutionDiscriminator):
        def forward(self, audio: Tensor) -> Any:
            seen.append(audio.shape[1])
            return super().forward(audio)

    module = make(kind=Loose, adversarial_frames=5, discriminator=Watching(windows=(64,), channels=2))

    module.backward_all(batch_of(2), is_adversarial=True)

    assert seen == [5 * HOP] * 2  # the real and the fake
