"""The averaged generator is what is validated, and padding does not count in its figure."""

import pytest
import torch
from torch.testing import assert_close

from tests.tools.step_tools import FRAMES, HOP, Loose, batch_of, fit, make, validated, weights
from utils.audio.batch import VoiceBatch

pytestmark = pytest.mark.filterwarnings("ignore:.*no .val_dataloader.*")


def test_first_average_is_a_third_of_the_start() -> None:
    module = make(ema_decay=0.999)
    before = weights(module.generator)

    fit(module, [batch_of(2)])

    # decay = min(0.999, (1 + 1) / (5 + 1)) after the first step
    expected = before / 3 + weights(module.generator) * 2 / 3
    assert_close(weights(module.averaged), expected, atol=1e-7, rtol=1e-5)


def test_average_never_forgets_slower_than_its_decay() -> None:
    module = make(ema_decay=0.1)
    fit(module, [batch_of(2)])
    before, fit_before = weights(module.averaged), weights(module.generator)

    fit(module, [batch_of(2, seed=1)])

    assert (weights(module.generator) - fit_before).abs().max().item() > 0
    assert_close(weights(module.averaged), 0.1 * before + 0.9 * weights(module.generator), atol=1e-7, rtol=1e-5)


def test_without_averaging_the_voice_is_the_generator() -> None:
    module = make(ema_decay=0.0)

    assert module.averaged is None
    assert module.voice is module.generator


def test_averaged_voice_is_not_trained() -> None:
    module = make(ema_decay=0.9)

    assert module.voice is module.averaged
    assert not any(parameter.requires_grad for parameter in module.averaged.parameters())


def test_validation_ignores_what_is_padding() -> None:
    module, batch = make(kind=Loose), batch_of(2)
    batch.num_frames = torch.tensor([FRAMES, FRAMES // 2])
    first = validated(module, batch)
    batch.audio[1, FRAMES // 2 * HOP :] = 5.0

    second = validated(module, batch)

    assert second == first


def test_padding_does_not_make_the_validation_figure_smaller() -> None:
    module, batch = make(kind=Loose), batch_of(2)
    half = VoiceBatch(**{key: value[:1] for key, value in vars(batch).items()})
    frames = FRAMES // 2
    half.audio, half.content, half.f0_hz, half.loudness_db = (
        value[:, : value.shape[1] // 2] for value in (half.audio, half.content, half.f0_hz, half.loudness_db)
    )
    half.num_frames = torch.tensor([frames])
    whole = VoiceBatch(**{key: value[:1] for key, value in vars(batch).items()})
    whole.num_frames = torch.tensor([frames])

    alone = validated(module, half)
    padded = validated(module, whole)

    # the last frame's synthesis window reaches into what is padding
    assert padded == pytest.approx(alone, rel=0.02)
