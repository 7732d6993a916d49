"""The student of the content encoder's recipe: losses, updates, continuing and exporting, in small sizes."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recipes.content_encoder.delivery import export
from recipes.content_encoder.examples import IGNORED, Batch
from recipes.content_encoder.student import Distillation, learning_rate, losses, read_checkpoint
from recipes.content_encoder.teacher_features import Features, load_features
from recipes.content_encoder.training import train
from tests.tools.content_encoder_tools import SIZES, made_up_examples, made_up_features
from utils.errors import ConfigError, FormatError
from utils.features.content.builtin import BuiltinContent


def test_perfect_output_has_no_loss_of_direction() -> None:
    target = torch.nn.functional.normalize(torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0)), dim=-1)
    batch = Batch(torch.zeros(2, 5 * 320), target, torch.zeros(2, 5, dtype=torch.long))

    parts = losses(target * 2.0, torch.zeros(2, 5, 3), batch)

    assert parts["cosine"].item() == pytest.approx(0, abs=1e-6)
    assert parts["error"].item() == pytest.approx(0, abs=1e-6)  # outputs of length sqrt(D) = 2 are meant
    assert parts["mean"].item() == pytest.approx(0, abs=1e-6)
    assert parts["unit"].item() == pytest.approx(math.log(3))


def test_frames_behind_the_end_do_not_count() -> None:
    target = torch.nn.functional.normalize(torch.ones(1, 4, 4), dim=-1)
    output = target * 2.0
    output[:, 2:] = -1.0
    batch = Batch(torch.zeros(1, 4 * 320), target, torch.tensor([[0, 0, IGNORED, IGNORED]]))

    assert losses(output, torch.zeros(1, 4, 3), batch)["cosine"].item() == pytest.approx(0, abs=1e-6)


def test_learning_rate_rises_and_falls_to_a_fiftieth() -> None:
    assert learning_rate(0, 8000) == pytest.approx(1 / 100)
    assert learning_rate(8000, 8000) == pytest.approx(1 / 50)
    assert 0.99 < max(learning_rate(step, 8000) for step in range(8000)) < 1


def test_the_first_update_moves_by_a_hundredth_of_the_rate() -> None:
    examples = made_up_examples()
    distillation = Distillation(SIZES, num_steps=8000, rate=2e-3)
    before = distillation.network.head.bias.detach().clone()

    distillation.update(examples.batch(0))

    # Adam's first step is the rate itself, whatever the gradient; decay is a fiftieth of the small weights
    moved = (distillation.network.head.bias - before).abs()
    torch.testing.assert_close(moved, torch.full_like(moved, 2e-5), rtol=0.05, atol=0)


def test_a_resumed_training_ends_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    examples = made_up_examples(batch_size=2, num_frames=40)
    first = Distillation(SIZES, num_steps=4)
    for step in range(2):
        first.update(examples.batch(step))
    first.save(tmp_path / "stopped.ckpt", examples.space)
    for step in range(2, 4):
        first.update(examples.batch(step))

    second = Distillation(SIZES, num_steps=4)
    assert not torch.equal(second.network.head.weight, first.network.head.weight)
    second.restore(read_checkpoint(tmp_path / "stopped.ckpt"))
    for step in range(2, 4):
        second.update(examples.batch(step))

    torch.testing.assert_close(second.network.state_dict(), first.network.state_dict())


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"num_steps": 2}, "steps is 2, but the checkpoint was begun with 1"),
        ({"rate": 0.1}, r"rate is 0\.1, but the checkpoint was begun with 0\.0002"),
        ({"seed": 3}, "seed is 3, but the checkpoint was begun with 0"),
        ({"start": Path("other.safetensors")}, "start is [0-9a-f]{12}, but the checkpoint was begun with none"),
        ({"features": Features(made_up_features().clips, {"en": 2.0})}, "begun with other teacher features"),
    ],
)
def test_another_training_does_not_continue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: dict[str, Any], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("other.safetensors").write_bytes(b"weights")
    checkpoint = Path("a.ckpt")
    begun: dict[str, Any] = {
        "features": made_up_features(),
        "num_steps": 1,
        "seed": 0,
        "sizes": SIZES,
        "is_warm": False,
    }
    train(checkpoint=checkpoint, **begun)
    before = checkpoint.read_bytes()

    with pytest.raises(ConfigError, match=words):
        train(checkpoint=checkpoint, **begun | other)

    assert checkpoint.read_bytes() == before


def test_what_is_no_checkpoint_or_cut_off_is_one_line(tmp_path: Path) -> None:
    train(made_up_features(), tmp_path / "a.ckpt", num_steps=1, seed=0, sizes=SIZES, is_warm=False)
    (tmp_path / "cut.ckpt").write_bytes((tmp_path / "a.ckpt").read_bytes()[:500])
    (tmp_path / "notes.txt").write_text("notes")

    for name in ("cut.ckpt", "notes.txt"):
        for read in (read_checkpoint, load_features):
            with pytest.raises(FormatError, match=rf"{name} cannot be read") as caught:
                read(tmp_path / name)
            assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_exported_weights_are_an_encoder(tmp_path: Path) -> None:
    result = train(made_up_features(), tmp_path / "a.ckpt", num_steps=1, seed=0, sizes=SIZES, is_warm=False)

    export(tmp_path / "a.ckpt", tmp_path / "mine.safetensors", made_up_features(), version="7", num_pairs=8)
    encoder = BuiltinContent(weights=str(tmp_path / "mine.safetensors"))

    assert encoder.encode(np.zeros(1600, np.float32)).shape == (10, 8)
    assert encoder.identity["version"] == "7"
    assert -1 <= result.cosine <= 1


def test_export_never_replaces_weights(tmp_path: Path) -> None:
    train(made_up_features(), tmp_path / "a.ckpt", num_steps=1, seed=0, sizes=SIZES, is_warm=False)
    (tmp_path / "mine.safetensors").touch()

    with pytest.raises(ConfigError, match="exists"):
        export(tmp_path / "a.ckpt", tmp_path / "mine.safetensors", made_up_features(), version="1")
