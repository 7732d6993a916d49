"""Smaller files: learned weights kept as half precision or 8-bit integers, arithmetic in single precision.

The stored weights are turned into float32 by standard operators on constants, which onnxruntime folds once when it
loads the file; from then on the graph is as fast as before and its input, output and controls are what they were.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from utils.errors import ConfigError
from utils.export.storage import GRID, LEVELS, on_grid, restored

Precision = Literal["fp32", "fp16", "int8"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")
# Largest allowed difference from the PyTorch voice in single precision, relative to its level: what the format costs
# (benchmarks/results/precision_2core-avx512_2026-11-22.md), with a margin.
PARITY_DB: dict[str, float] = {"fp32": -80.0, "fp16": -50.0, "int8": -20.0}
SMALLEST = 4096  # values of a tensor; smaller ones are left alone, they weigh nothing
UNTOUCHED = "pitch_tracker"  # a small network whose decisions jump, and whose pitch is summed up to a phase
_WEIGHT_INPUT = 1
_OUTPUT_AXES = {"Conv": 0, "ConvTranspose": 1, "MatMul": -1}


@dataclass(frozen=True, kw_only=True)
class Reduction:
    """What was made smaller: tensors, their bytes before and after."""

    num_tensors: int
    bytes_before: int
    bytes_after: int


def check_precision(value: Any) -> Precision:
    """Return a precision of PRECISIONS.

    Raises:
        ConfigError: if it is none.
    """
    for known in PRECISIONS:
        if value == known:
            return known
    raise ConfigError(f"export.precision={value} is unknown; allowed: {', '.join(PRECISIONS)}")


def tolerance_of(precision: Precision, tolerance: float) -> float:
    """Return the allowed relative RMS difference from PyTorch: what was asked for in fp32, else at least PARITY_DB."""
    return tolerance if precision == "fp32" else max(tolerance, 10 ** (PARITY_DB[precision] / 20))


def fixed_tables(model: nn.Module) -> list[np.ndarray]:
    """Return the tables of a module that are no learned weights: transforms, filters, noise, codebooks."""
    return [table.detach().cpu().numpy() for table in model.buffers() if table.is_floating_point()]


def all_tables(model: nn.Module) -> list[np.ndarray]:
    """Return every table of a module, for one whose learned weights shall stay as they are."""
    return [weight.detach().cpu().numpy() for weight in model.parameters()] + fixed_tables(model)


def reduce_weights(model: onnx.ModelProto, precision: Precision, fixed: Iterable[np.ndarray] = ()) -> Reduction:
    """Store the weights of convolutions and matrix products in fewer bits, in place.

    Args:
        model: a finished graph.
        precision: "fp16", "int8" (symmetric, one scale for each output channel), or "fp32", which changes nothing.
        fixed: tables that stay as they are, also transposed: those that are no learned weights (transforms, filters),
            and the weights of trackers of pitch under other names than UNTOUCHED.
    """
    if precision == "fp32":
        return Reduction(num_tensors=0, bytes_before=0, bytes_after=0)
    kept = {_fingerprint(table) for table in fixed}
    nodes: list[onnx.NodeProto] = []
    before = after = count = 0
    for name, axis in _weights(model.graph).items():
        tensor = next(item for item in model.graph.initializer if item.name == name)
        values = numpy_helper.to_array(tensor)
        # what 8 bits hold exactly is stored so afterwards, see store_without_loss
        if _fingerprint(values) in kept or (precision == "fp16" and on_grid(values) is not None):
            continue
        stored, more = _half(name, values) if precision == "fp16" else _eight_bits(name, values, axis)
        model.graph.initializer.remove(tensor)
        model.graph.initializer.extend(stored)
        nodes += more
        before, after = before + values.nbytes, after + sum(item.ByteSize() for item in stored)
        count += 1
    for place, node in enumerate(nodes):
        model.graph.node.insert(place, node)
    return Reduction(num_tensors=count, bytes_before=before, bytes_after=after)


def _weights(graph: onnx.GraphProto) -> dict[str, int]:
    """Return name and axis of the output channels of every large weight that nothing else reads."""
    inputs = {value.name for value in graph.input}
    large = {
        item.name
        for item in graph.initializer
        if item.data_type == TensorProto.FLOAT and np.prod(item.dims) >= SMALLEST and UNTOUCHED not in item.name
    } - inputs
    axes: dict[str, set[int | None]] = {}
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name in large:
                axes.setdefault(name, set()).add(_output_axis(node) if place == _WEIGHT_INPUT else None)
    return {name: axis for name, found in axes.items() if len(found) == 1 and (axis := next(iter(found))) is not None}


def _output_axis(node: onnx.NodeProto) -> int | None:
    if node.op_type == "Gemm":
        return 0 if any(item.name == "transB" and item.i for item in node.attribute) else 1
    return _OUTPUT_AXES.get(node.op_type)


def _half(name: str, values: np.ndarray) -> tuple[list[onnx.TensorProto], list[onnx.NodeProto]]:
    limit = float(np.finfo(np.float16).max)
    stored = numpy_helper.from_array(np.clip(values, -limit, limit).astype(np.float16), f"{name}.half")
    return [stored], [helper.make_node("Cast", [stored.name], [name], to=TensorProto.FLOAT)]


def _eight_bits(name: str, values: np.ndarray, axis: int) -> tuple[list[onnx.TensorProto], list[onnx.NodeProto]]:
    others = tuple(number for number in range(values.ndim) if number != axis % values.ndim)
    peak = np.abs(values).max(axis=others, keepdims=True)
    scale = (np.where(peak > 0, peak, 1.0) / LEVELS).astype(np.float32)
    stored = numpy_helper.from_array(np.rint(values / scale).astype(np.int8), f"{name}.{GRID[0]}")
    scales = numpy_helper.from_array(scale, f"{name}.{GRID[1]}")
    return [stored, scales], restored(name, stored.name, scales.name)


def _fingerprint(values: np.ndarray) -> bytes:
    """Return the same bytes for a table and its transposed, reshaped or padded forms."""
    return np.sort(values[values != 0].astype(np.float32), axis=None).tobytes()
