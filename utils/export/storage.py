"""Smaller files at no cost: what 8 bits or half precision hold exactly is stored so, and what is there twice once.

The built-in content encoder comes in rows of 8 bits (utils/features/content/grid.py), others and shared RVC voices in
half precision, and the codebook is made in it. Where the simplifier has taken a power of two into a table (the half
of a GELU), small values would be lost; the table is stored without that factor. The steps that bring the tables back
(Cast, Mul, Transpose, Reshape of constants) are standard operators, which onnxruntime folds once when it loads the
file; every number that is computed afterwards is the same.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SMALLEST = 4096  # values of a tensor; smaller ones are left alone, they weigh nothing
LEVELS = 127  # of each sign that 8 bits hold
GRID = ("int8", "scale")  # how the parts of a table in 8 bits are called
FACTORS = tuple(np.array(2.0**power, np.float32) for power in (0, -1, -2, -3))


def store_without_loss(model: onnx.ModelProto) -> int:
    """Store large tables in the smallest form that gives the same numbers, in place; return the bytes saved."""
    before = model.graph.ByteSize()
    tables = _large_tables(model.graph)
    added: list[onnx.NodeProto] = []
    written: list[onnx.TensorProto] = []
    originals: dict[bytes, list[str]] = {}
    for name, values in tables.items():
        key = np.sort(values, axis=None).tobytes()
        twin = next((other for other in originals.get(key, []) if _steps(tables[other], values) is not None), None)
        if twin is not None:
            added += _derive(name, twin, tables[twin], values, written)
            continue
        originals.setdefault(key, []).append(name)
        grid = on_grid(values)
        if grid is not None:
            stored, scale = (
                numpy_helper.from_array(part, f"{name}.{kind}") for part, kind in zip(grid, GRID, strict=True)
            )
            written += [stored, scale]
            added += restored(name, stored.name, scale.name)
            continue
        halves = ((factor, _as_half(values / factor)) for factor in FACTORS)
        factor, half = next(((factor, half) for factor, half in halves if half is not None), (None, None))
        if factor is None or half is None:
            written.append(numpy_helper.from_array(values, name))
            continue
        whole = name if factor == 1 else f"{name}.whole"
        written.append(numpy_helper.from_array(half, f"{name}.half"))
        added.append(helper.make_node("Cast", [f"{name}.half"], [whole], to=TensorProto.FLOAT))
        if factor != 1:
            written.append(numpy_helper.from_array(factor, f"{name}.factor"))
            added.append(helper.make_node("Mul", [whole, f"{name}.factor"], [name]))
    _replace(model.graph, set(tables), written, added)
    return before - model.graph.ByteSize()


def _large_tables(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    """Return the large float32 tables among initializers and constants, by the name that the nodes read."""
    inputs = {value.name for value in graph.input}
    found = {item.name: item for item in graph.initializer if item.name not in inputs}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            found[node.output[0]] = node.attribute[0].t
    large = {name: item for name, item in found.items()
             if item.data_type == TensorProto.FLOAT and np.prod(item.dims) >= SMALLEST}  # fmt: skip
    return {name: numpy_helper.to_array(item) for name, item in large.items()}


def restored(name: str, stored: str, scale: str) -> list[onnx.NodeProto]:
    """Return the nodes that make a table `name` of 8-bit integers and their scale.

    Cast and Mul, not DequantizeLinear: onnxruntime does not fold that one, and would repeat it at every run.
    """
    steps = f"{name}.steps"
    return [
        helper.make_node("Cast", [stored], [steps], to=TensorProto.FLOAT),
        helper.make_node("Mul", [steps, scale], [name]),
    ]


def on_grid(values: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Return 8-bit integers and a scale for each index of the first or last axis if their products are the values."""
    for axis in (0, -1):
        others = tuple(range(1, values.ndim)) if axis == 0 else tuple(range(values.ndim - 1))
        peak = np.abs(values).max(axis=others, keepdims=True)
        scale = np.where(peak > 0, peak / np.float32(LEVELS), np.float32(1.0)).astype(np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            whole = np.rint(values / scale)
        # a zero that is negative becomes positive on the right, and so keeps its table
        if np.isfinite(whole).all() and (whole * scale).tobytes() == (values + np.float32(0.0)).tobytes():
            return whole.astype(np.int8), scale
    return None


def _as_half(values: np.ndarray) -> np.ndarray | None:
    """Return the values in half precision if all of them, signs of zeros included, come back as they were."""
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    return half if half.astype(np.float32).tobytes() == values.tobytes() else None


def _steps(source: np.ndarray, wanted: np.ndarray) -> list[str] | None:
    """Return what turns one table into the other: nothing, Transpose and Reshape as needed; None if they differ."""
    flat = wanted.reshape([size for size in wanted.shape if size > 1])
    for turned, steps in ((source, []), (source.T, ["Transpose"])):
        plain = turned.reshape([size for size in turned.shape if size > 1])
        if plain.shape == flat.shape and np.array_equal(plain, flat):
            return [*steps, *(["Reshape"] if turned.shape != wanted.shape else [])]
    return None


def _derive(
    name: str, twin: str, source: np.ndarray, wanted: np.ndarray, written: list[onnx.TensorProto]
) -> list[onnx.NodeProto]:
    """Return the nodes that make a table from its twin; one that is equal takes an Identity."""
    steps = _steps(source, wanted) or ["Identity"]
    nodes: list[onnx.NodeProto] = []
    for place, step in enumerate(steps):
        inputs = [twin if place == 0 else nodes[-1].output[0]]
        if step == "Reshape":
            written.append(numpy_helper.from_array(np.array(wanted.shape, dtype=np.int64), f"{name}.shape"))
            inputs.append(f"{name}.shape")
        output = name if place == len(steps) - 1 else f"{name}.turned"
        nodes.append(helper.make_node(step, inputs, [output]))
    return nodes


def _replace(
    graph: onnx.GraphProto, names: set[str], written: list[onnx.TensorProto], added: list[onnx.NodeProto]
) -> None:
    """Put the stored tables and the nodes that restore them in the place of the old ones."""
    kept = [item for item in graph.initializer if item.name not in names]
    nodes = [node for node in graph.node if not (node.op_type == "Constant" and node.output[0] in names)]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend([*kept, *written])
    graph.node.extend([*added, *nodes])
