"""Gradients that are not finite, loss scales, 16-bit training and clipping."""

import math

import pytest
import torch

from tests.tools.step_tools import batch_of, fit, gradients, make, weights

pytestmark = pytest.mark.filterwarnings("ignore:.*no .val_dataloader.*")


def test_step_with_a_gradient_that_is_not_finite_changes_nothing_but_the_count() -> None:
    module, bad = make(ema_decay=0.9), batch_of(2)
    bad.audio[0, 5] = math.nan
    before = {name: value.clone() for name, value in module.state_dict().items()}

    fit(module, [bad])

    changed = [name for name, value in module.state_dict().items() if not torch.equal(value, before[name])]
    assert changed == ["steps_done"]
    assert (module.steps, module.skipped, module.skipped_in_a_row) == (1, 1, 1)
    fit(module, [batch_of(2)])
    assert (module.steps, module.skipped, module.skipped_in_a_row) == (2, 1, 0)
    assert not torch.equal(module.generator.output.weight, before["generator.output.weight"])


@pytest.mark.parametrize(("precision", "close"), [("bf16-mixed", 3e-2), ("16-mixed", 3e-3)])
def test_sixteen_bits_train_nearly_as_thirty_two_do(precision: str, close: float) -> None:
    whole, short = make(), make(precision=precision)

    whole.backward_all(batch_of(4), is_adversarial=True)
    short.backward_all(batch_of(4), is_adversarial=True)

    for network in ("generator", "discriminator"):
        expected, found = (
            torch.cat([value.reshape(-1) for value in gradients(getattr(module, network))]) for module in (whole, short)
        )
        assert not torch.equal(found, expected)
        assert (found - expected).norm() / expected.norm() < close


def test_each_network_has_a_loss_scale_of_its_own() -> None:
    module = make(precision="16-mixed")
    first = next(module.discriminator.parameters())
    first.register_hook(lambda gradient: gradient * math.inf)  # as if 16 bits could not hold it

    fit(module, [batch_of(2)])

    scales = {name: update.scaler.get_scale() for name, update in module.updates.items()}
    assert scales == {"generator": 65536.0, "discriminator": 32768.0}
    assert module.skipped == 1


def test_gradient_norm_is_clipped() -> None:
    module = make(with_discriminator=False, clip_norm=1e-3)
    before = weights(module.generator)

    fit(module, [batch_of(2)])

    # plain descent with rate 0.01 moves by rate times the norm
    assert (weights(module.generator) - before).norm().item() == pytest.approx(1e-5, rel=1e-2)
