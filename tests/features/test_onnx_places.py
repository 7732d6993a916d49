"""An ONNX file whose weights lie elsewhere leads to no other file of the machine."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from utils.errors import FormatError
from utils.features.onnx_hash import sha256_of_onnx


def graph_at(path: Path, location: str) -> Path:
    weight = numpy_helper.from_array(np.zeros(4, np.float32), "w")
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", [value], [result], [weight])
    path.write_bytes(helper.make_model(graph).SerializeToString())
    assert onnx.load(str(path), load_external_data=False)
    return path


def test_weights_beside_a_file_count(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(b"\0" * 16)
    path = graph_at(tmp_path / "a.onnx", "w.bin")
    before = sha256_of_onnx(path)

    (tmp_path / "w.bin").write_bytes(b"\1" * 16)

    assert sha256_of_onnx(path) != before


@pytest.mark.parametrize("location", ["/dev/zero", "../secret", "folder/../../secret", "folder"])
def test_weights_elsewhere_are_refused(tmp_path: Path, location: str) -> None:
    (tmp_path / "in" / "folder").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(b"x")

    with pytest.raises(FormatError, match=r"a\.onnx names") as caught:
        sha256_of_onnx(graph_at(tmp_path / "in" / "a.onnx", location))

    assert "\n" not in str(caught.value)
