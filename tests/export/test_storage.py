"""A smaller file gives the same numbers: exact halves, transposed twins, constants; and nothing else is touched."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from utils.export.storage import store_without_loss

RNG = np.random.default_rng(0)
HALF = RNG.standard_normal((64, 96)).astype(np.float16).astype(np.float32)
SINGLE = RNG.standard_normal((96, 64)).astype(np.float32)
SCALES = RNG.uniform(0.001, 0.01, 64).astype(np.float16).astype(np.float32)
EIGHT_BITS = RNG.integers(-127, 128, (64, 96)).astype(np.float32)
EIGHT_BITS[:, 5] = EIGHT_BITS[7] = 127.0  # a row or column without its largest number is none that rounding makes
GRID = EIGHT_BITS * SCALES[:, None]
SMALL = np.ones((64, 3), np.float32)


def model(first: np.ndarray, second: np.ndarray, *, is_constant: bool = False) -> onnx.ModelProto:
    """Return a graph x [N, 64] @ first [64, 96] @ second [96, 64] @ SMALL."""
    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["a"]),
        helper.make_node("MatMul", ["a", "second"], ["b"]),
        helper.make_node("MatMul", ["b", "small"], ["y"]),
    ]
    tables = {"first": first, "second": second, "small": SMALL}
    if is_constant:
        nodes.insert(0, helper.make_node("Constant", [], ["first"], value=numpy_helper.from_array(tables.pop("first"))))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [*first.shape[:-2], "rows", 3])],
        [numpy_helper.from_array(value, name) for name, value in tables.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(graph: onnx.ModelProto) -> np.ndarray:
    onnx.checker.check_model(graph, full_check=True)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(None, {"x": np.random.default_rng(1).random((5, 64), np.float32)})[0]
    return found


@pytest.mark.parametrize("is_constant", [False, True])
@pytest.mark.parametrize(
    ("first", "second", "saved"),
    [
        (HALF, SINGLE, HALF.nbytes // 2),
        (SINGLE.T.copy(), SINGLE, SINGLE.nbytes),
        (SINGLE.T.copy()[None], SINGLE, SINGLE.nbytes),
        (GRID, SINGLE, GRID.nbytes * 3 // 4),
        (GRID * np.float32(0.5), SINGLE, GRID.nbytes * 3 // 4),
        (EIGHT_BITS * np.resize(SCALES, 96), SINGLE, GRID.nbytes * 3 // 4),
        (GRID, GRID.T.copy(), GRID.nbytes + GRID.nbytes * 3 // 4),
        (HALF, HALF.T.copy(), HALF.nbytes + HALF.nbytes // 2),
        (SINGLE.reshape(64, 96), SINGLE, 0),
    ],
    ids=[
        "half",
        "transposed",
        "transposed and reshaped",
        "8 bits",
        "8 bits halved",
        "8 bits by column",
        "8 bits and transposed",
        "half and transposed",
        "same values in another shape",
    ],
)
def test_smaller_file_computes_the_same(first: np.ndarray, second: np.ndarray, saved: int, is_constant: bool) -> None:
    before, after = (model(first, second, is_constant=is_constant) for _ in range(2))

    found = store_without_loss(after)

    assert np.array_equal(run(after), run(before))
    assert found == pytest.approx(saved, abs=900)  # but for scales and the names of the added nodes


@pytest.mark.parametrize("value", [1e-9, 70000.0, 1 / 3, -0.0])
def test_one_value_that_half_precision_lacks_keeps_the_table(value: float) -> None:
    table = HALF.copy()
    table[5, 7] = value
    graph = model(table, SINGLE)

    store_without_loss(graph)

    stored = {item.name for item in graph.graph.initializer}
    assert ("first" in stored) == (value != 0)
    assert np.array_equal(run(graph), run(model(table, SINGLE)))


@pytest.mark.parametrize("value", [1.5, 128.0, -0.0, np.nan, np.inf])
def test_one_value_beside_the_steps_of_8_bits_keeps_the_table(value: float) -> None:
    table = GRID.copy()
    table[5, 9] = value * SCALES[5]
    graph = model(table, SINGLE)

    store_without_loss(graph)

    assert "first.int8" not in {item.name for item in graph.graph.initializer}
    assert np.array_equal(run(graph), run(model(table, SINGLE)), equal_nan=True)


@pytest.mark.parametrize("factor", [0.5, 0.125])
def test_a_factor_that_was_taken_into_the_table_costs_nothing(factor: float) -> None:
    table = HALF.copy()
    table[5, 7] = 2.0**-24  # the smallest number of half precision: half of it is none
    graph = model(table * np.float32(factor), SINGLE)

    saved = store_without_loss(graph)

    assert saved == pytest.approx(HALF.nbytes // 2, abs=400)
    assert np.array_equal(run(graph), run(model(table * np.float32(factor), SINGLE)))


def test_second_time_changes_nothing() -> None:
    graph = model(HALF, SINGLE)
    store_without_loss(graph)
    once = graph.SerializeToString()

    assert store_without_loss(graph) == 0
    assert graph.SerializeToString() == once


def test_default_of_an_input_stays_as_it_is() -> None:
    graph = model(HALF, SINGLE)
    graph.graph.input.append(helper.make_tensor_value_info("first", TensorProto.FLOAT, [64, 96]))

    store_without_loss(graph)

    assert "first" in {item.name for item in graph.graph.initializer}
