"""Recorded numbers of the public networks, and what tests compare of ours with them."""

import math
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np
from torch import nn

from benchmarks.golden import TOLERANCE

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


def load(*names: str) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    for name in names:
        with np.load(GOLDEN / f"{name}.npz") as content:
            arrays |= {key: content[key] for key in content.files}
    return arrays


def over_tolerance(errors: Iterator[tuple[str, float]]) -> dict[str, float]:
    found = dict(errors)
    assert found
    return {name: error for name, error in found.items() if not error <= TOLERANCE}


def digest(module: nn.Module) -> tuple[int, int, str]:
    """Return the number of parameters' names, of their values, and a hash of all names and shapes."""
    shapes = {key: list(value.shape) for key, value in module.state_dict().items()}
    text = "\n".join(f"{key} {shape}" for key, shape in sorted(shapes.items()))
    return len(shapes), sum(math.prod(shape) for shape in shapes.values()), sha256(text.encode()).hexdigest()[:16]
