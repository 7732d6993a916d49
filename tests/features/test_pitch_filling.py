"""Pitch through unvoiced frames, as some voices were trained."""

import io

import numpy as np
import onnxruntime
import pytest
import torch

from utils.features.pitch.filling import FilledPitch, fill_unvoiced
from utils.features.pitch.swift import builtin_tracker


class Fill(torch.nn.Module):
    def forward(self, f0_hz: torch.Tensor) -> torch.Tensor:
        return fill_unvoiced(f0_hz)


def reference(row: np.ndarray) -> np.ndarray:
    voiced = np.flatnonzero(row)
    return np.interp(np.arange(len(row)), voiced, row[voiced]) if len(voiced) else row


def contours() -> np.ndarray:
    rng = np.random.default_rng(0)
    rows = rng.uniform(80.0, 400.0, (6, 50)) * (rng.random((6, 50)) < 0.4)
    rows[1], rows[2, 1:], rows[3, :-1] = 0.0, 0.0, 0.0
    rows[2, 0], rows[3, -1] = 100.0, 200.0
    rows[4] = rng.uniform(80.0, 400.0, 50)
    return rows.astype(np.float32)


def test_gaps_are_straight_lines_and_ends_are_held() -> None:
    rows = contours()

    filled = fill_unvoiced(torch.from_numpy(rows)).numpy()

    np.testing.assert_allclose(filled, np.stack([reference(row) for row in rows]), rtol=1e-5)


def test_voiced_frames_stay_and_a_row_without_any_is_zero() -> None:
    rows = contours()

    filled = fill_unvoiced(torch.from_numpy(rows)).numpy()

    np.testing.assert_array_equal(filled[rows > 0], rows[rows > 0])
    assert not filled[1].any()


@pytest.mark.parametrize("frames", [1, 2, 77])
def test_the_exported_operators_agree_at_any_length(frames: int) -> None:
    stream = io.BytesIO()
    example = (torch.from_numpy(contours()),)
    axes = {0: "batch", 1: "frames"}
    torch.onnx.export(
        Fill(), example, stream, dynamo=False, opset_version=17, input_names=["f0"], output_names=["filled"],  # type: ignore[arg-type]
        dynamic_axes={"f0": axes, "filled": axes},
    )  # fmt: skip
    rows = np.tile(contours(), (1, 2))[:, :frames]

    filled = onnxruntime.InferenceSession(stream.getvalue()).run(None, {"f0": rows})[0]

    np.testing.assert_allclose(filled, np.stack([reference(row) for row in rows]), rtol=1e-5)


def test_identity_tells_the_convention() -> None:
    tracker = builtin_tracker()

    assert FilledPitch(tracker).identity == {**tracker.identity, "unvoiced": "interpolated"}
