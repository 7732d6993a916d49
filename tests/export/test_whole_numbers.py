"""Products of streams in whole numbers say what products in single precision say; others are left alone."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from utils.export.whole_numbers import LIMIT, use_whole_numbers

RNG = np.random.default_rng(0)
SINGLE = RNG.standard_normal((192, 256)).astype(np.float32)


def eight_bits(rows: int, columns: int) -> np.ndarray:
    """Return a table of whole numbers from -127 to 127 times a factor for each column."""
    whole = RNG.integers(-127, 128, (rows, columns)).astype(np.float32)
    whole[0] = 127.0
    return whole * RNG.uniform(0.001, 0.01, columns).astype(np.float16).astype(np.float32)


FIRST, SECOND = eight_bits(192, 256), eight_bits(256, 192)


def model(rows: int | str) -> onnx.ModelProto:
    """Return x [rows, 192] @ FIRST, then a Gemm with SECOND that adds x, then @ SINGLE, which is not of 8 bits."""
    nodes = [
        helper.make_node("Mul", ["x", "one"], ["a"]),  # the shapes of inputs alone are not inferred
        helper.make_node("MatMul", ["a", "first"], ["b"], name="one"),
        helper.make_node("Gemm", ["b", "second", "a"], ["c"], name="two", transB=1),
        helper.make_node("MatMul", ["c", "single"], ["y"], name="three"),
    ]
    values = {"one": np.float32(1), "first": FIRST, "second": SECOND.T.copy(), "single": SINGLE}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, 192])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [rows, 256])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(graph: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    onnx.checker.check_model(graph, full_check=True)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(None, {"x": x})[0]
    return found


def relative_db(got: np.ndarray, expected: np.ndarray) -> float:
    return float(20 * np.log10(np.sqrt(np.mean((got - expected) ** 2) / np.mean(expected**2))))


@pytest.mark.parametrize("rows", [1, 2, 6])
def test_products_in_whole_numbers_are_those_in_single_precision(rows: int) -> None:
    graph = model(rows)
    x = np.random.default_rng(rows).standard_normal((rows, 192)).astype(np.float32)
    expected = (x.astype(np.float64) @ FIRST @ SECOND + x) @ SINGLE

    assert use_whole_numbers(graph) == 2

    assert relative_db(run(graph, x), expected) < -110
    large = {item.name: item.data_type for item in graph.graph.initializer if np.prod(item.dims) > 4096}
    assert sorted(large.values()) == sorted([TensorProto.FLOAT, TensorProto.INT8, TensorProto.INT8])
    assert large["single"] == TensorProto.FLOAT


@pytest.mark.parametrize("size", [1e-3, 0.9 * LIMIT])
def test_small_and_large_numbers_lose_no_more_than_a_step(size: float) -> None:
    graph = model(1)
    del graph.graph.node[2:]
    graph.graph.output[0].CopyFrom(helper.make_tensor_value_info("b", TensorProto.FLOAT, [1, 256]))
    x = (size * np.random.default_rng(1).uniform(-1, 1, (1, 192))).astype(np.float32)

    assert use_whole_numbers(graph) == 1

    expected = x.astype(np.float64) @ FIRST
    rounding = 2.0**-18 * np.abs(FIRST).sum(axis=0) + 1e-6 * np.abs(expected).max()
    assert (np.abs(run(graph, x) - expected) <= rounding).all()


def test_products_of_any_number_of_frames_stay_as_they_are() -> None:
    graph = model("frames")
    before = graph.SerializeToString(deterministic=True)

    assert use_whole_numbers(graph) == 0

    assert graph.SerializeToString(deterministic=True) == before
