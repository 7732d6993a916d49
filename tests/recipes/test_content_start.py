"""Where a training of the content encoder starts: the teacher's weights, or a finished encoder."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as functional

from recipes.content_encoder.delivery import export
from recipes.content_encoder.examples import ContentExamples, as_float
from recipes.content_encoder.moonshine import resample_kernel, start_from
from recipes.content_encoder.stem import fit_stem, teacher_stem
from recipes.content_encoder.training import start_from_encoder, train
from tests.tools.content_encoder_tools import SIZES, made_up_examples, made_up_features, teacher_like
from utils.errors import ConfigError
from utils.features.content.builtin import BuiltinContent

LEVEL = (0.0, 0.3)


def examples() -> ContentExamples:
    return made_up_examples(batch_size=2, num_frames=40)


# the teacher


def test_kernel_read_at_its_own_taps_stays() -> None:
    kernel = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))

    torch.testing.assert_close(resample_kernel(kernel, 5, 1.0), kernel)


def test_a_wider_spacing_reads_between_the_taps_and_weighs_more() -> None:
    kernel = torch.tensor([[[0.0, 1.0, 2.0, 3.0, 4.0]]])

    # positions 0.5, 2 and 3.5, each standing for 1.5 taps
    torch.testing.assert_close(resample_kernel(kernel, 3, 1.5), torch.tensor([[[0.75, 3.0, 5.25]]]))


def test_every_weight_of_the_teacher_finds_its_place() -> None:
    network, weights = SIZES.build(), teacher_like(16, 1)

    start_from(network, weights, (0.0, 1.0))

    state = network.state_dict()
    torch.testing.assert_close(state["filters.weight"], weights["conv1.weight"])
    torch.testing.assert_close(state["layers.0.attention.value.weight"], weights["layers.0.self_attn.v_proj.weight"])
    torch.testing.assert_close(state["layers.0.project.bias"], weights["layers.0.mlp.fc2.bias"])
    torch.testing.assert_close(state["norm.weight"], weights["layer_norm.weight"])


def test_the_norm_with_fixed_statistics_is_inside_the_second_convolution() -> None:
    network, weights = SIZES.build(), teacher_like(16, 1)
    start_from(network, weights, (0.25, 2.0))
    kernel = resample_kernel(weights["conv2.weight"], 5, 80 / 64)
    x = torch.randn(2, 16, 9, generator=torch.Generator().manual_seed(1))
    normed = (x - 0.25) / 2.0 * weights["groupnorm.weight"][:, None] + weights["groupnorm.bias"][:, None]

    expected = functional.conv1d(normed, kernel)
    found = functional.conv1d(x, network.widen.weight)

    # what is constant is taken from the teacher's whole kernel, so differences are compared
    torch.testing.assert_close(found[0] - found[1], expected[0] - expected[1], atol=1e-3, rtol=1e-4)


def test_frames_of_the_teacher_are_read_at_the_centres_of_the_student() -> None:
    weights = teacher_like(16, 1)
    audio = 0.1 * torch.randn(1, 12 * 320, generator=torch.Generator().manual_seed(2))

    found = teacher_stem(weights, audio, LEVEL)

    assert found.shape == (1, 12, 16)
    for frame in (2, 5, 9):  # their 895 samples lie inside the audio
        part = audio[:, (2 * frame + 1) * 160 - 447 :][:, :895]
        x = torch.tanh(functional.conv1d(part.unsqueeze(1), weights["conv1.weight"], stride=64))
        x = (x - LEVEL[0]) / LEVEL[1] * weights["groupnorm.weight"][:, None] + weights["groupnorm.bias"][:, None]
        x = functional.gelu(functional.conv1d(x, weights["conv2.weight"], weights["conv2.bias"], stride=3))
        expected = functional.gelu(functional.conv1d(x, weights["conv3.weight"], weights["conv3.bias"], stride=2))
        torch.testing.assert_close(found[0, frame], expected[0, :, 0], atol=1e-3, rtol=1e-4)


def test_fitting_the_convolutions_brings_them_nearer_and_moves_nothing_else() -> None:
    network, weights = SIZES.build(), {name: 0.1 * value for name, value in teacher_like(16, 1).items()}
    start_from(network, weights, LEVEL)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    plain = examples().plain_and_changed(100)[0]

    def error() -> float:
        wanted = teacher_stem(weights, plain, LEVEL)
        return float((network.stem(plain) - wanted).square().sum() / wanted.square().sum())

    with torch.no_grad():
        far = error()
    last = fit_stem(network, weights, LEVEL, examples(), num_steps=30)

    with torch.no_grad():
        near = error()
    assert near < 0.9 * far
    assert last > 0
    moved = {name.split(".")[0] for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"filters", "widen", "narrow"}


# a finished encoder


def finished_encoder(folder: Path) -> Path:
    """Export a network after one update."""
    train(made_up_features(), folder / "a.ckpt", num_steps=1, seed=0, sizes=SIZES, is_warm=False)
    export(folder / "a.ckpt", folder / "finished.safetensors", made_up_features(), version="1", num_pairs=8)
    return folder / "finished.safetensors"


def test_a_training_may_begin_with_a_finished_encoder_and_a_fitted_last_layer(tmp_path: Path) -> None:
    weights = finished_encoder(tmp_path)
    network, clips = SIZES.build(), examples()

    cosine = start_from_encoder(network, weights, clips)

    kept, encoder = network.state_dict(), BuiltinContent(weights=str(weights)).network.state_dict()
    heads = {"head.weight", "head.bias"}
    assert {name for name in kept if not torch.equal(kept[name], encoder[name])} == heads
    chosen = clips.sample(100)
    outputs = torch.cat([network(as_float(clip.audio)[None])[0] for clip in chosen])
    targets = torch.cat([clip.target for clip in chosen])
    assert functional.cosine_similarity(outputs, targets).mean().item() == pytest.approx(cosine, abs=1e-3)
    # least squares: what is left of the targets has nothing to do with the output
    rest = targets - outputs / SIZES.dim**0.5
    assert (rest.T @ outputs / len(rest)).abs().max() < 1e-3  # of products of about 1; the ridge leaves some
    assert kept["head.weight"].abs().max() < 100  # nor does the layer read the direction that the norm empties


def test_an_encoder_of_other_sizes_is_no_start(tmp_path: Path) -> None:
    weights = finished_encoder(tmp_path)
    wider = replace(SIZES, channels=24)

    with pytest.raises(ConfigError, match="that encoder has other sizes"):
        train(made_up_features(), tmp_path / "b.ckpt", num_steps=1, seed=0, sizes=wider, is_warm=False, start=weights)


def test_an_absent_start_is_named_before_anything_is_written(tmp_path: Path) -> None:
    absent = tmp_path / "absent.safetensors"

    with pytest.raises(ConfigError, match=r"absent\.safetensors is not a file; give the weights of a finished encoder"):
        train(made_up_features(), tmp_path / "b.ckpt", num_steps=1, seed=0, sizes=SIZES, is_warm=False, start=absent)
    assert not (tmp_path / "b.ckpt").exists()
