"""Micro-batches are one batch to the networks, also where memory makes them smaller."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from models.adversarial import TERMS, micro_batches
from models.discriminators import MultiResolutionDiscriminator
from tests.tools.step_tools import batch_of, fit, gradients, make, weights

pytestmark = pytest.mark.filterwarnings("ignore:.*no .val_dataloader.*")


@pytest.mark.parametrize("objective", ["balanced", "hifigan"])
@pytest.mark.parametrize("with_discriminator", [True, False])
def test_micro_batches_equal_one_batch(with_discriminator: bool, objective: str) -> None:
    weights_of_all = dict.fromkeys(TERMS, 1.0)
    values: dict[str, Any] = {"objective": objective, "loss_weights": weights_of_all}
    whole, parts = make(with_discriminator, **values), make(with_discriminator, accumulate=3, **values)
    loud = batch_of(5)
    loud.audio *= torch.tensor([0.1, 0.3, 1.0, 3.0, 10.0]).unsqueeze(1)  # micro-batches of unlike level

    first, second = whole.backward_all(loud, with_discriminator), parts.backward_all(loud, with_discriminator)

    for name in first:
        assert_close(second[name], first[name], atol=0, rtol=1e-5)
    for network in ("generator", "discriminator") if with_discriminator else ("generator",):
        found, expected = (gradients(getattr(module, network)) for module in (parts, whole))
        largest = max(float(value.abs().max()) for value in expected)
        assert largest > 0
        assert len(found) == len(expected)
        for ours, theirs in zip(found, expected, strict=True):
            assert_close(ours, theirs, atol=2e-6 * largest, rtol=1e-4)


def test_micro_batches_are_as_equal_as_can_be_and_lose_no_clip() -> None:
    batch = batch_of(5)

    parts = list(micro_batches(batch, 3))

    assert [len(part.audio) for part in parts] == [1, 2, 2]
    assert torch.equal(torch.cat([part.audio for part in parts]), batch.audio)
    assert [len(part.audio) for part in micro_batches(batch, 9)] == [1] * 5


class OutOfMemory(MultiResolutionDiscriminator):
    """A discriminator for which more than two clips at once are too many."""

    def forward(self, audio: Tensor) -> Any:
        if len(audio) > 2:
            raise torch.OutOfMemoryError("too many clips")
        return super().forward(audio)


def test_fit_memory_halves_the_micro_batch_and_keeps_the_step(caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    discriminator = OutOfMemory(windows=(64, 128), channels=4)
    module, whole = make(fit_memory=True), make()
    discriminator.load_state_dict(module.discriminator.state_dict())
    module.discriminator = discriminator

    fit(module, [batch_of(5)] * 2)
    fit(whole, [batch_of(5)] * 2)

    assert module.accumulate == 4
    assert_close(weights(module.generator), weights(whole.generator), atol=2e-6, rtol=0)
    assert "from step 0 on 4 micro-batches of at most 2 clips" in caplog.text


def test_too_little_memory_is_an_error_unless_asked_for() -> None:
    module = make(discriminator=OutOfMemory(windows=(64,), channels=2))

    with pytest.raises(torch.OutOfMemoryError):
        fit(module, [batch_of(3)])


def test_not_even_one_clip_that_fits_is_an_error() -> None:
    class Never(OutOfMemory):
        def forward(self, audio: Tensor) -> Any:
            raise torch.OutOfMemoryError("no clip at all")

    with pytest.raises(torch.OutOfMemoryError):
        fit(make(fit_memory=True, discriminator=Never(windows=(64,), channels=2)), [batch_of(3)])


def test_schedule_moves_once_a_step_not_once_a_micro_batch() -> None:
    module = make(schedule=lambda step: 1.0 / (1 + step), accumulate=2)

    recorder = fit(module, [batch_of(2)] * 2)

    assert_close(torch.tensor([row[0] for row in recorder.rates]), torch.tensor([0.01, 0.005]))
