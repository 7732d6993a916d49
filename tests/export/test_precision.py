"""Weights in fewer bits: what is reduced, what is not, and that only the file gets smaller."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from utils.config.export import export_job
from utils.errors import ConfigError
from utils.export.plans import plan_export
from utils.export.precision import PARITY_DB, Precision, all_tables, reduce_weights, tolerance_of
from utils.export.storage import store_without_loss

RNG = np.random.default_rng(0)
DENSE = RNG.standard_normal((64, 96)).astype(np.float32) * np.geomspace(0.01, 1, 96, dtype=np.float32)
KERNEL = RNG.standard_normal((48, 96, 3)).astype(np.float32)
TABLE = RNG.standard_normal((48, 128)).astype(np.float32)
SMALL_TABLE = RNG.standard_normal((128, 4)).astype(np.float32)


def model() -> onnx.ModelProto:
    """Return a graph with a Gemm, a Conv, a fixed table, a table used twice and a small one."""
    nodes = [
        helper.make_node("Gemm", ["x", "dense"], ["a"]),
        helper.make_node("Transpose", ["a"], ["at"], perm=[1, 0]),
        helper.make_node("Unsqueeze", ["at", "zero"], ["b"]),
        helper.make_node("Conv", ["b", "kernel"], ["c"], pads=[1, 1]),
        helper.make_node("Squeeze", ["c", "zero"], ["d"]),
        helper.make_node("Transpose", ["d"], ["e"], perm=[1, 0]),
        helper.make_node("MatMul", ["e", "table"], ["f"]),
        helper.make_node("MatMul", ["f", "small"], ["y"]),
    ]
    values = {"dense": DENSE, "kernel": KERNEL, "table": TABLE, "small": SMALL_TABLE, "zero": np.array([0])}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 4])],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(graph: onnx.ModelProto, rows: int = 20) -> np.ndarray:
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(1).standard_normal((rows, 64)).astype(np.float32)
    output: np.ndarray = session.run(None, {"x": x})[0]
    return output


def stored(graph: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {item.name: numpy_helper.to_array(item) for item in graph.graph.initializer}


@pytest.mark.parametrize(("precision", "share", "largest"), [("fp16", 0.5, 1e-3), ("int8", 0.25, 0.02)])
def test_learned_weights_shrink_and_little_changes(precision: Precision, share: float, largest: float) -> None:
    before, after = model(), model()

    reduction = reduce_weights(after, precision, [TABLE])

    onnx.checker.check_model(after, full_check=True)
    assert (reduction.num_tensors, reduction.bytes_before) == (2, DENSE.nbytes + KERNEL.nbytes)
    assert reduction.bytes_after == pytest.approx(share * reduction.bytes_before, rel=0.05)
    expected, got = run(before), run(after)
    error = np.sqrt(np.mean(np.square(got - expected)) / np.mean(np.square(expected)))
    assert 1e-6 < error < largest
    assert got.dtype == np.float32


def test_weights_are_rounded_for_each_output_channel() -> None:
    graph = model()

    reduce_weights(graph, "int8")

    tensors = stored(graph)
    steps, scale = tensors["dense.int8"], tensors["dense.scale"]
    assert steps.dtype == np.int8 and scale.shape == (1, 96)
    np.testing.assert_allclose(steps * scale, DENSE, atol=1e-7 + 0.51 * float(scale.max()))
    np.testing.assert_array_equal(np.abs(steps).max(axis=0), 127)  # the faintest channel uses every step too
    assert tensors["kernel.scale"].shape == (48, 1, 1)


def test_fixed_tables_and_small_tensors_stay() -> None:
    graph = model()

    reduce_weights(graph, "fp16", [TABLE.T.reshape(2, -1), SMALL_TABLE])

    assert sorted(stored(graph)) == ["dense.half", "kernel.half", "small", "table", "zero"]


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_weights_of_a_tracker_stay_also_where_a_graph_pads_them_with_zeros(precision: Precision) -> None:
    tracker = nn.BatchNorm1d(90)
    narrow = KERNEL[:, :90].copy()
    tracker.weight = nn.Parameter(torch.from_numpy(narrow))
    graph = model()
    wide = np.concatenate([narrow, np.zeros((48, 6, 3), np.float32)], axis=1)
    next(item for item in graph.graph.initializer if item.name == "kernel").CopyFrom(
        numpy_helper.from_array(wide, "kernel")
    )

    reduce_weights(graph, precision, all_tables(tracker))

    assert np.array_equal(stored(graph)["kernel"], wide)
    assert "dense" not in stored(graph)


def test_what_8_bits_hold_exactly_is_not_made_larger_by_half_precision() -> None:
    reduced = model()
    reduce_weights(reduced, "int8", [TABLE])
    on_grid = stored(reduced)["dense.int8"] * stored(reduced)["dense.scale"]
    graph = model()
    graph.graph.initializer[0].CopyFrom(numpy_helper.from_array(on_grid, "dense"))

    reduce_weights(graph, "fp16", [TABLE])

    assert np.array_equal(stored(graph)["dense"], on_grid) and "kernel.half" in stored(graph)
    assert store_without_loss(graph) > 0
    assert stored(graph)["dense.int8"].dtype == np.int8


def test_a_weight_with_another_reader_stays() -> None:
    graph = model()
    graph.graph.node.append(helper.make_node("ReduceSum", ["dense"], ["total"]))

    reduce_weights(graph, "int8", [TABLE])

    assert "dense" in stored(graph)


def test_single_precision_changes_nothing() -> None:
    graph = model()

    assert reduce_weights(graph, "fp32").num_tensors == 0
    assert graph == model()


def test_onnxruntime_folds_the_weights_when_it_loads(tmp_path: Path) -> None:
    graph = model()
    reduce_weights(graph, "int8")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "loaded.onnx")

    onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])

    loaded = {node.op_type for node in onnx.load(str(tmp_path / "loaded.onnx")).graph.node}
    assert not loaded & {"Cast", "Mul", "DequantizeLinear"}


def test_each_precision_has_its_bar() -> None:
    assert tolerance_of("fp32", 0.001) == 0.001
    assert tolerance_of("fp16", 0.0001) == pytest.approx(10 ** (PARITY_DB["fp16"] / 20))
    assert PARITY_DB["fp32"] < PARITY_DB["fp16"] < PARITY_DB["int8"] < -10


def test_an_unknown_precision_is_named() -> None:
    with pytest.raises(ConfigError, match=r"export\.precision=int4 is unknown; allowed: fp32, fp16, int8"):
        plan_export(export_job(["run=runs/x", "export.precision=int4"]))
