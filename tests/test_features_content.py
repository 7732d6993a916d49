"""Content encoders: as many vectors as frames, of one length, the same every time; weights that cannot be read."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.testing import assert_close

from tests.synthetic_speech import voice
from utils.errors import ConfigError
from utils.features.content.base import ContentEncoder, double_frame_rate, normalize_content
from utils.features.content.builtin import (
    BuiltinContent,
    ContentNetwork,
    RandomContent,
    articulation,
)
from utils.features.content.hubert import HubertContent

SIZES = {"channels": 12, "num_blocks": 1, "kernel_size": 3, "dim": 8}
METADATA = {"version": "1", **{key: str(value) for key, value in SIZES.items()}}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small weights file of the shipped one's format."""
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    torch.manual_seed(0)
    save_file({key: value.half() for key, value in ContentNetwork(**SIZES).state_dict().items()}, str(path), METADATA)
    return path


@pytest.fixture(scope="module", params=["random", "small", "shipped"])
def encoder(request: pytest.FixtureRequest, weights: Path) -> ContentEncoder:
    if request.param == "random":
        return RandomContent(dim=16)
    return BuiltinContent(weights=str(weights)) if request.param == "small" else BuiltinContent()


@pytest.mark.parametrize("frames", [1, 2, 3, 10, 11, 50])
def test_one_vector_a_frame_for_odd_and_even_numbers(encoder: ContentEncoder, frames: int) -> None:
    audio = torch.from_numpy(voice(frames / 100))[None].repeat(2, 1)

    assert encoder(audio).shape == (2, frames, encoder.dim)


def test_vectors_have_the_length_root_of_dim(encoder: ContentEncoder) -> None:
    content = encoder.encode(voice(0.4))

    lengths = np.linalg.norm(content, axis=1)
    np.testing.assert_allclose(lengths, math.sqrt(encoder.dim), rtol=1e-3)


def test_same_audio_gives_the_same_vectors(encoder: ContentEncoder) -> None:
    audio = voice(0.4)

    np.testing.assert_array_equal(encoder.encode(audio), encoder.encode(audio))


def test_padding_at_the_end_changes_only_the_end(encoder: ContentEncoder) -> None:
    audio = voice(2.0)
    longer = np.concatenate([audio, np.zeros(3 * 160, np.float32)])

    np.testing.assert_allclose(encoder.encode(longer)[:60], encoder.encode(audio)[:60], atol=2e-3)


def test_silence_is_finite(encoder: ContentEncoder) -> None:
    assert np.isfinite(encoder.encode(np.zeros(1600, np.float32))).all()


def test_nothing_gives_no_vectors(encoder: ContentEncoder) -> None:
    assert encoder.encode(np.zeros(0, np.float32)).shape == (0, encoder.dim)


def test_identity_names_encoder_and_size(encoder: ContentEncoder) -> None:
    assert encoder.identity["dim"] == encoder.dim
    assert {"id", "version"} <= set(encoder.identity)


def test_encoder_is_frozen(encoder: ContentEncoder) -> None:
    assert not encoder.training
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


def test_shipped_encoder_hears_the_same_words_at_another_level() -> None:
    encoder, audio = BuiltinContent(), voice(1.0)

    loud, quiet = encoder.encode(audio), encoder.encode(audio * 0.25)

    assert np.mean(np.sum(loud * quiet, axis=1) / encoder.dim) > 0.9


def test_seed_decides_the_random_encoder() -> None:
    audio = voice(0.2)

    first, second, other = (RandomContent(dim=4, seed=seed).encode(audio) for seed in (1, 1, 2))

    np.testing.assert_array_equal(first, second)
    assert np.abs(first - other).max() > 0.1


def test_random_encoder_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)

    RandomContent(dim=4)

    assert_close(torch.rand(3), expected)


def test_identity_changes_with_the_weights(weights: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    torch.manual_seed(1)
    save_file(ContentNetwork(**SIZES).state_dict(), str(other), METADATA)

    assert BuiltinContent(weights=str(other)).identity != BuiltinContent(weights=str(weights)).identity


def test_missing_weights_are_one_line_with_the_file_name() -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.safetensors are missing .*restore") as caught:
        BuiltinContent(weights="nowhere.safetensors")
    assert "\n" not in str(caught.value)


def damage(path: Path, kind: str) -> None:
    content = path.read_bytes()
    if kind == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("this is no safetensors file, whatever its name says")
    elif kind == "no metadata":
        save_file(ContentNetwork(**SIZES).state_dict(), str(path))
    elif kind == "other network":
        save_file(ContentNetwork(**SIZES | {"dim": 9}).state_dict(), str(path), METADATA)
    else:
        save_file({"something": torch.zeros(3)}, str(path), METADATA)


@pytest.mark.parametrize("kind", ["truncated", "empty", "text", "no metadata", "other network", "other tensors"])
def test_damaged_weights_are_one_line_with_the_path(weights: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(weights.read_bytes())
    damage(path, kind)

    with pytest.raises(ConfigError, match=r"damaged\.safetensors .*damaged.*restore") as caught:
        BuiltinContent(weights=str(path))
    assert "\n" not in str(caught.value)


def test_normalization_is_the_root_of_dim_by_hand() -> None:
    # (3, 4) has length 5; sqrt(2) / 5 = 0.28284
    assert_close(normalize_content(torch.tensor([3.0, 4.0])), torch.tensor([0.84853, 1.13137]), atol=1e-4, rtol=0)


def test_doubled_frames_lie_a_quarter_frame_from_the_old_ones() -> None:
    features = torch.tensor([0.0, 4.0, 8.0])[None, :, None]

    assert double_frame_rate(features)[0, :, 0].tolist() == [0.0, 1.0, 3.0, 5.0, 7.0, 8.0]


def test_hubert_without_its_folder_says_what_to_type() -> None:
    with pytest.raises(ConfigError, match=r"content\.path is not set.*content\.path=<folder>"):
        HubertContent(path=None, layer=12, name="contentvec")


def test_articulation_knows_no_level() -> None:
    log_mel = torch.randn(1, 80, 6, generator=torch.Generator().manual_seed(0))

    torch.testing.assert_close(articulation(log_mel + 3.0, 20), articulation(log_mel, 20), atol=2e-4, rtol=0)


def test_articulation_of_one_loud_band_is_the_logarithm_relative_to_the_mean_of_bands() -> None:
    log_mel = torch.zeros(1, 80, 1)
    log_mel[:, :40] = math.log(3.0)

    shape = articulation(log_mel, 2)

    # bands 3 and 1; the floor is a thousandth of their mean 2
    upper, lower = math.log(3.002), math.log(1.002)
    torch.testing.assert_close(shape[0, 0], torch.tensor([upper - lower, lower - upper]) / 2, atol=1e-5, rtol=0)


def test_shipped_features_are_network_and_articulation() -> None:
    encoder = BuiltinContent()

    assert encoder.num_bands > 0
    assert encoder.dim == encoder.network.head.out_features + encoder.num_bands
    assert encoder.encode(voice(0.5)[:1600]).shape == (10, encoder.dim)
