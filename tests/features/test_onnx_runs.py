"""A graph of a stranger that never ends is ended, and the line says so."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from utils.errors import ConfigError
from utils.features.onnx_runs import run_within


def loop(path: Path, trips: int) -> Path:
    """A graph that adds 1 to its input so many times."""
    value = helper.make_tensor_value_info("v", TensorProto.FLOAT, None)
    body = helper.make_graph(
        [
            helper.make_node("Add", ["v", "one"], ["w"]),
            helper.make_node("Identity", ["go"], ["go_on"]),
        ],
        "body",
        [helper.make_tensor_value_info("i", TensorProto.INT64, []),
         helper.make_tensor_value_info("go", TensorProto.BOOL, []), value],
        [helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
         helper.make_tensor_value_info("w", TensorProto.FLOAT, None)],
    )  # fmt: skip
    constants = [
        helper.make_tensor("trips", TensorProto.INT64, [], [trips]),
        helper.make_tensor("yes", TensorProto.BOOL, [], [True]),
        helper.make_tensor("one", TensorProto.FLOAT, [], [1.0]),
    ]
    graph = helper.make_graph(
        [helper.make_node("Loop", ["trips", "yes", "x"], ["y"], body=body)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(("trips", "is_ended"), [(5, False), (2**40, True)])
def test_a_graph_without_end_is_ended(tmp_path: Path, trips: int, is_ended: bool) -> None:
    session = onnxruntime.InferenceSession(str(loop(tmp_path / "a.onnx", trips)), providers=["CPUExecutionProvider"])
    feed = {"x": np.zeros(1, np.float32)}

    if not is_ended:
        assert run_within(session, None, feed, "a.onnx")[0].tolist() == [5.0]
        return
    with pytest.raises(ConfigError, match=r"a\.onnx runs for more than 0 s"):
        run_within(session, ["y"], feed, "a.onnx", seconds=0.2)


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    session = onnxruntime.InferenceSession(str(loop(tmp_path / "a.onnx", 1)), providers=["CPUExecutionProvider"])

    with pytest.raises(ValueError, match="x"):
        run_within(session, None, {}, "a.onnx")
