"""Content encoders: as many vectors as frames, of one length, the same every time; weights that cannot be read."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.testing import assert_close

from utils.audio.synthetic_speech import voice
from utils.errors import ConfigError, WorkbenchError
from utils.features.content.base import ContentEncoder, double_frame_rate, normalize_content
from utils.features.content.builtin import MAX_RAISE, BuiltinContent, RandomContent, raise_level
from utils.features.content.network import ContentNetwork

SIZES = {"channels": 12, "num_layers": 1, "num_heads": 2, "rotary_dim": 4, "past": 4, "future": 2, "dim": 8}
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
    network = encoder.network
    assert isinstance(network, ContentNetwork)
    ahead = 2 * (network.future * len(network.layers) + 2)  # features of 10 ms
    audio = voice(0.01 * (60 + ahead + 10))
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

    # recorded speech reaches .98; this buzz is far from anything in the training
    assert np.mean(np.sum(loud * quiet, axis=1) / encoder.dim) > 0.85


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
    with pytest.raises(ConfigError, match=r"content\.weights=nowhere\.safetensors is not a file; .* leave") as caught:
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
    elif kind == "not finite":
        tensors = ContentNetwork(**SIZES).state_dict()
        save_file({**tensors, "head.bias": torch.full_like(tensors["head.bias"], torch.nan)}, str(path), METADATA)
    elif kind in ("no version", "no number", "no heads"):
        metadata = {key: value for key, value in METADATA.items() if key != "version" or kind != "no version"}
        metadata |= {"no number": {"channels": "many"}, "no heads": {"num_heads": "0"}}.get(kind, {})
        save_file(ContentNetwork(**SIZES).state_dict(), str(path), metadata)
    else:
        save_file({"something": torch.zeros(3)}, str(path), METADATA)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("truncated", "is not a complete safetensors file"),
        ("empty", "is not a complete safetensors file"),
        ("text", "is not a complete safetensors file"),
        ("no metadata", "is no content encoder of this workbench (its metadata have no channels, num_layers,"),
        ("no version", "is no content encoder of this workbench (its metadata have no version)"),
        ("other network", "is no content encoder of this workbench (Error(s) in loading state_dict"),
        ("other tensors", "is no content encoder of this workbench (Error(s) in loading state_dict"),
        ("no number", "is no content encoder of this workbench (invalid literal for int() with base 10: 'many')"),
        ("no heads", "is no content encoder of this workbench ("),
        ("not finite", "has values that are not finite in head.bias"),
    ],
)
def test_a_wrong_file_of_ones_own_is_one_line_with_the_path(
    weights: Path, tmp_path: Path, kind: str, said: str
) -> None:
    path = tmp_path / "mine.safetensors"
    path.write_bytes(weights.read_bytes())
    damage(path, kind)

    with pytest.raises(WorkbenchError) as caught:
        BuiltinContent(weights=str(path))
    assert f"{path} {said}" in str(caught.value)
    assert "restore" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_normalization_is_the_root_of_dim_by_hand() -> None:
    # (3, 4) has length 5; sqrt(2) / 5 = 0.28284
    assert_close(normalize_content(torch.tensor([3.0, 4.0])), torch.tensor([0.84853, 1.13137]), atol=1e-4, rtol=0)


def test_doubled_frames_lie_a_quarter_frame_from_the_old_ones() -> None:
    features = torch.tensor([0.0, 4.0, 8.0])[None, :, None]

    assert double_frame_rate(features)[0, :, 0].tolist() == [0.0, 1.0, 3.0, 5.0, 7.0, 8.0]


def test_short_look_ahead_hears_nothing_later() -> None:
    encoder = BuiltinContent(look_ahead="short")
    audio = voice(1.0)[:16000]
    changed = audio.copy()
    changed[8000:] = -0.5 * changed[8000:][::-1]

    before, after = encoder.encode(audio), encoder.encode(changed)

    # frame 24 of 20 ms ends at sample 8000 and hears 224 samples more; frame 23 hears nothing of the change
    np.testing.assert_allclose(after[:48], before[:48], atol=1e-4)
    assert np.abs(after[50:] - before[50:]).max() > 0.1


@pytest.mark.slow
def test_full_look_ahead_is_bounded() -> None:
    encoder = BuiltinContent()
    frames = encoder.network.future * len(encoder.network.layers) + 2
    length = (frames + 50) * 320
    audio = voice(length / 16000)[:length]
    changed = audio.copy()
    changed[-25 * 320 :] = 0.0

    before, after = encoder.encode(audio), encoder.encode(changed)

    untouched = 2 * 25
    np.testing.assert_allclose(after[:untouched], before[:untouched], atol=1e-4)
    before_the_change = slice(untouched, 2 * (frames + 25))
    assert np.abs(after[before_the_change] - before[before_the_change]).max() > 1e-3


def test_unknown_look_ahead_is_refused() -> None:
    with pytest.raises(ConfigError, match="look_ahead=none is not one of full, short"):
        BuiltinContent(look_ahead="none")


def test_look_aheads_are_told_apart() -> None:
    assert BuiltinContent(look_ahead="short").identity != BuiltinContent().identity


def test_quiet_recordings_give_the_features_of_loud_ones() -> None:
    encoder = BuiltinContent()
    speech = voice(1.0)
    quiet = speech * (10 ** (-30 / 20) / np.sqrt(np.mean(speech**2)))

    assert_close(encoder.encode(quiet * 0.1), encoder.encode(quiet), rtol=0, atol=1e-3)


def test_silence_is_not_raised_to_speech() -> None:
    noise = torch.randn(1, 16000, generator=torch.Generator().manual_seed(0)) * 1e-4

    assert_close(raise_level(noise), noise * MAX_RAISE)
    assert_close(raise_level(torch.zeros(1, 160)), torch.zeros(1, 160), rtol=0, atol=0)


def test_loud_recordings_stay() -> None:
    noise = torch.randn(1, 16000, generator=torch.Generator().manual_seed(0)) * 0.2

    assert_close(raise_level(noise), noise)
