"""How fast the machine is and how much a tracker or encoder multiplies."""

import numpy as np
import pytest
import torch

from benchmarks import machine


def test_operations_are_those_of_a_second() -> None:
    weight = torch.zeros(100, 30)

    def encode(audio: np.ndarray) -> torch.Tensor:
        return torch.matmul(torch.from_numpy(audio).reshape(-1, 100), weight)

    # 160 rows a second, each 100 * 30 products and sums
    assert machine.operations(encode, 2.0) == pytest.approx(160 * 100 * 30 * 2 / 1e9)


@pytest.mark.slow
def test_speed_is_that_of_one_thread_and_leaves_the_threads_alone() -> None:
    before = torch.get_num_threads()

    assert 0.1 < machine.matrix_speed() < 10_000
    assert torch.get_num_threads() == before


def test_least_factor_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "matrix_speed", lambda: 80.0)
    monkeypatch.setattr(machine, "operations", lambda encode: 0.92)

    said = machine.least_factor(lambda audio: audio)

    assert "at 80 GFLOP/s on one thread; builtin needs 0.92 GFLOP" in said and "factor of 0.0115 if" in said
