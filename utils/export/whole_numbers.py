"""Matrix products of streams with weights of 8 bits, in whole numbers: a quarter as much is read from memory.

A block of a stream has one frame or a few, so each weight is read for one product or a few, and reading takes longer
than computing. The content encoder's come in rows of 8 bits (utils/features/content/grid.py) and are used as they are.
What they are multiplied with is cut into digits, so that nothing of it is lost: DIGITS of them to the base BASE hold
numbers up to LIMIT in steps of 2^-17. Sums of whole numbers are the same on every processor: digits from -64 to 64
times weights from -127 to 127 fit into the 16 bits in which processors without VNNI add two products.
"""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from utils.export.finishing import nested_nodes
from utils.export.storage import LEVELS

BASE, DIGITS = 128.0, 4
LIMIT = 1024.0  # of what is multiplied with weights; in trained networks it is about 1 to 50
CENTRE = 64  # the digit 0 as a number without a sign
SMALLEST = 32_768  # weights of a table; reading a smaller one takes less time than the operators of the digits
MOST_ROWS = 16  # frames of a block; of more of them computing takes longer than reading
EXACT = 2.0**-20  # of the largest weight of a column: what is nearer counts as equal
PREFIX = "whole_numbers"


def use_whole_numbers(model: onnx.ModelProto) -> int:
    """Let products of few frames with large tables of 8 bits be products of whole numbers, in place; return how many.

    Products whose number of frames is not fixed stay as they are, and so do those with other tables.
    """
    graph, rows = model.graph, _fixed_rows(model)
    stored = {item.name: item for item in graph.initializer} | {value.name: None for value in graph.input}
    constants: dict[str, np.ndarray] = {}
    nodes: list[onnx.NodeProto] = []
    count = 0
    for node in graph.node:
        frames = rows.get(node.input[0], 0) if _is_plain_product(node) else 0
        item = stored.get(node.input[1]) if 0 < frames <= MOST_ROWS else None
        grid = _grid(item, node) if item is not None else None
        count += grid is not None
        nodes += [node] if grid is None else _product(node, grid, frames, constants)
    del graph.node[:]
    graph.node.extend(nodes)
    _drop_unread(graph)
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    return count


def _grid(item: onnx.TensorProto, node: onnx.NodeProto) -> tuple[np.ndarray, np.ndarray] | None:
    """Return a stored table as int8 [K, N] and the factors of its columns [N]; None if it is small or not of 8 bits."""
    if item.data_type != TensorProto.FLOAT or len(item.dims) != 2 or np.prod(item.dims) < SMALLEST:
        return None
    turned = any(setting.name == "transB" and setting.i for setting in node.attribute)
    table = numpy_helper.to_array(item).T if turned else numpy_helper.to_array(item)
    peak = np.abs(table).max(axis=0)
    scale = np.where(peak > 0, peak / LEVELS, 1.0).astype(np.float32)
    whole = np.rint(table / scale)
    return (whole.astype(np.int8), scale) if (np.abs(table - whole * scale) <= EXACT * peak).all() else None


def _is_plain_product(node: onnx.NodeProto) -> bool:
    """Whether a node multiplies by its second input and at most adds its third."""
    settings = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    is_scaled = settings.get("alpha", 1.0) != 1.0 or settings.get("beta", 1.0) != 1.0
    return node.op_type == "MatMul" or (node.op_type == "Gemm" and not is_scaled and not settings.get("transA", 0))


def _fixed_rows(model: onnx.ModelProto) -> dict[str, int]:
    """Return F by the name of each value [F, K]."""
    found = {}
    for value in shape_inference.infer_shapes(model, data_prop=True).graph.value_info:
        axes = value.type.tensor_type.shape.dim
        if len(axes) == 2 and axes[0].HasField("dim_value"):
            found[value.name] = int(axes[0].dim_value)
    return found


class _Steps:
    """The nodes that take the place of one, and the constants that they read.

    Args:
        node: whose place they take.
        constants: those of the graph by name; what is missing is added.
    """

    def __init__(self, node: onnx.NodeProto, constants: dict[str, np.ndarray]) -> None:
        self.place, self.name, self.constants = node.output[0], node.name, constants
        self.nodes: list[onnx.NodeProto] = []

    def constant(self, name: str, value: Any, kind: Any = np.float32) -> str:
        """Return the name of a constant."""
        return self._known(f"{PREFIX}/{name}", np.asarray(value, kind))

    def own(self, name: str, value: np.ndarray) -> str:
        """Return the name of a constant that no other product has."""
        return self._known(f"{self.place}/{name}", value)

    def add(self, operator: str, name: str, *inputs: str, output: str | None = None, **settings: Any) -> str:
        """Add a node; return the name of what it makes."""
        made = output or f"{self.place}/{name}"
        self.nodes.append(helper.make_node(operator, list(inputs), [made], name=f"{self.name}/{name}", **settings))
        return made

    def _known(self, name: str, value: np.ndarray) -> str:
        self.constants.setdefault(name, value)
        return name


def _product(
    node: onnx.NodeProto, grid: tuple[np.ndarray, np.ndarray], rows: int, constants: dict[str, np.ndarray]
) -> list[onnx.NodeProto]:
    """Return what takes the place of a product of rows [F, K], and what it adds to it.

    Args:
        node: MatMul or Gemm.
        grid: the table in whole numbers [K, N] and the factors of its columns.
        rows: F.
        constants: of the graph by name; what is missing is added.
    """
    steps, frames = _Steps(node, constants), np.eye(rows)
    sizes = CENTRE / LIMIT * BASE ** np.arange(DIGITS)  # what 1 is in units of each digit
    spread = steps.constant(f"spread{rows}", np.kron(frames, sizes[:, None]))  # the digits of a frame lie together
    if rows == 1:  # then a product with a column is one with each of its numbers, in a faster operator
        taken = steps.add("Mul", "spread", node.input[0], spread)
    else:
        taken = steps.add("MatMul", "spread", spread, node.input[0])
    whole = steps.add("Round", "whole", taken)
    # a digit is what is left of a number without the digits before it
    apart = steps.constant(f"apart{rows}", np.kron(frames, np.eye(DIGITS) - BASE * np.eye(DIGITS, k=-1)))
    one, centre = steps.constant("one", 1.0), steps.constant("centre", CENTRE, np.uint8)
    digits = steps.add("QuantizeLinear", "digits", steps.add("MatMul", "apart", apart, whole), one, centre)
    sums = steps.add("MatMulInteger", "sums", digits, steps.own("int8", grid[0]), centre)
    real = steps.add("Cast", "real", sums, to=TensorProto.FLOAT)
    scaled = steps.add("Mul", "scaled", real, steps.own("scale", grid[1]))
    total = steps.constant(f"total{rows}", np.kron(frames, 1 / sizes[None]))
    operator = "MatMul" if len(node.input) < 3 else "Gemm"
    steps.add(operator, "total", total, scaled, *node.input[2:], output=node.output[0])
    return steps.nodes


def _drop_unread(graph: onnx.GraphProto) -> None:
    """Remove the constants that nothing reads any more; inputs with a default are kept."""
    read = {name for node in nested_nodes(graph) for name in node.input} | {value.name for value in graph.input}
    kept = [item for item in graph.initializer if item.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
