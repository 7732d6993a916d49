"""Weights in 8 bits: what is lost, what is exact, and files that lack a part."""

from pathlib import Path

import numpy as np
import pytest
import torch

from utils.errors import ConfigError, FormatError
from utils.features.content.builtin import BuiltinContent
from utils.features.content.grid import from_grid, to_grid
from utils.features.content.network import ContentNetwork
from utils.training.checkpoints import save_weights

SIZES = {"channels": 96, "num_layers": 1, "num_heads": 2, "rotary_dim": 4, "past": 4, "future": 2, "dim": 16}
GENERATOR = torch.Generator().manual_seed(0)
MATRIX = torch.randn(200, 300, generator=GENERATOR) * torch.logspace(-2, 1, 200)[:, None]


def test_a_value_moves_by_half_a_step_of_its_row_at_most() -> None:
    stored = to_grid({"x.weight": MATRIX})
    values = from_grid(stored)["x.weight"]

    assert stored["x.weight"].dtype == torch.int8 and stored["x.weight.scale"].dtype == torch.float16
    step = MATRIX.abs().amax(dim=1, keepdim=True) / 127
    # half precision moves the step itself by a part in 2048, 127 steps by a sixteenth of one
    assert ((values - MATRIX).abs() <= 0.57 * step).all()
    assert ((values - MATRIX).abs() > 0.4 * step).any()


def test_products_are_exact_and_a_second_time_changes_nothing() -> None:
    stored = to_grid({"x.weight": MATRIX})
    once = from_grid(stored)
    exact = stored["x.weight"].double() * stored["x.weight.scale"].double()[:, None]

    assert torch.equal(once["x.weight"].double(), exact)
    again = to_grid(once)
    assert all(torch.equal(again[name], value) for name, value in stored.items())


def test_a_row_of_zeros_stays_and_one_too_small_for_a_scale_keeps_its_matrix() -> None:
    matrix = MATRIX.clone()
    matrix[3] = 0.0
    values = from_grid(to_grid({"x.weight": matrix}))["x.weight"]
    assert torch.isfinite(values).all() and values[3].abs().max() == 0 and values[4].abs().max() > 0

    matrix[3] = 1e-4
    stored = to_grid({"x.weight": matrix})
    assert set(stored) == {"x.weight"} and torch.equal(stored["x.weight"], matrix)


def test_only_large_matrices_are_rounded() -> None:
    tensors = {"small": MATRIX[:9, :9], "bias": torch.randn(40_000), "kept": MATRIX, "x": MATRIX.view(200, 100, 3)}
    stored = to_grid(tensors, keep=frozenset({"kept"}))

    assert set(stored) == {*tensors, "x.scale"}
    assert all(torch.equal(stored[name], tensors[name]) for name in ("small", "bias", "kept"))
    assert stored["x"].shape == (200, 100, 3)


@pytest.mark.parametrize("scale", [None, torch.ones(3).half()], ids=["none", "too few"])
def test_integers_without_their_scale_are_refused(scale: torch.Tensor | None) -> None:
    stored = to_grid({"x": MATRIX})
    del stored["x.scale"]

    with pytest.raises(FormatError, match="x is in 8 bits but has no scale for each of its 200 rows"):
        from_grid(stored if scale is None else stored | {"x.scale": scale})


def test_an_encoder_in_8_bits_is_read_as_it_was_rounded(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = ContentNetwork(**SIZES)
    stored = to_grid(network.state_dict())
    assert any(value.dtype == torch.int8 for value in stored.values())
    metadata = {name: str(size) for name, size in SIZES.items()} | {"version": "1"}
    save_weights(tmp_path / "whole.safetensors", stored, metadata)
    save_weights(tmp_path / "half.safetensors", network.state_dict(), metadata)
    broken = {name: value for name, value in stored.items() if not name.endswith(".scale")}
    save_weights(tmp_path / "broken.safetensors", broken, metadata)

    ours = BuiltinContent(weights=str(tmp_path / "whole.safetensors"))

    audio = np.random.default_rng(0).standard_normal(16000).astype(np.float32) * 0.1
    expected = BuiltinContent(weights=str(tmp_path / "half.safetensors")).encode(audio)
    found = ours.encode(audio)
    error = 10 * np.log10(np.square(found - expected).mean() / np.square(expected).mean())
    assert -80 < error < -30
    exact = {name: value.float() for name, value in from_grid(stored).items()}
    assert torch.equal(ours.network.state_dict()["widen.weight"], exact["widen.weight"])
    with pytest.raises(ConfigError, match="is in 8 bits but has no scale"):
        BuiltinContent(weights=str(tmp_path / "broken.safetensors"))
