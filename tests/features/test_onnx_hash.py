"""What tells one ONNX file from another: its bytes, and the weights that it keeps in other files."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import set_external_data

from tests.export.test_content import opened, write_file
from tests.features.test_pitch_rmvpe import crossings_graph
from tests.tools.hubert_tools import write_hubert
from utils.features.content.hubert import HubertContent, open_content
from utils.features.onnx_hash import sha256_of_onnx
from utils.features.pitch.external import OnnxPitch
from utils.files import sha256_of_file

PLACES = ["of the graph", "of a graph inside", "of an attribute"]


def tensor(name: str) -> TensorProto:
    return numpy_helper.from_array(np.arange(300, dtype=np.float32), name)


def model() -> onnx.ModelProto:
    """A graph that keeps a tensor at each of the places."""

    def branch(name: str) -> onnx.GraphProto:
        nodes = [helper.make_node("Identity", [PLACES[1]], [name])]
        return helper.make_graph(nodes, name, [], [output(name)], [tensor(PLACES[1])])

    def output(name: str) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [300])

    nodes = [
        helper.make_node("Constant", [], ["constant"], value=tensor(PLACES[2])),
        helper.make_node("If", ["condition"], ["chosen"], then_branch=branch("yes"), else_branch=branch("no")),
        helper.make_node("Sum", ["constant", "chosen", PLACES[0]], ["result"], name="location"),
    ]
    inputs = [helper.make_tensor_value_info("condition", TensorProto.BOOL, [])]
    return helper.make_model(helper.make_graph(nodes, "graph", inputs, [output("result")], [tensor(PLACES[0])]))


def test_file_with_its_weights_inside_is_known_by_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(model(), str(path))

    assert sha256_of_onnx(path) == sha256_of_file(path)


def test_file_of_another_format_is_known_by_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "model.ort"
    path.write_bytes(b"ORTM location")

    assert sha256_of_onnx(path) == sha256_of_file(path)


@pytest.mark.parametrize("place", PLACES)
def test_other_weights_beside_the_same_file_are_another_model(tmp_path: Path, place: str) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(model(), str(path), save_as_external_data=True, all_tensors_to_one_file=False, convert_attribute=True)
    own, before = sha256_of_file(path), sha256_of_onnx(path)

    np.arange(1, 301, dtype=np.float32).tofile(tmp_path / place)

    assert sha256_of_onnx(path) != before
    assert sha256_of_file(path) == own


def move_weights_out(path: Path, name: str) -> Path:
    """Store one tensor of an ONNX file beside it and return where."""
    content = onnx.load(str(path))
    (moved,) = [item for item in content.graph.initializer if item.name == name]
    set_external_data(moved, "weights.data")
    onnx.save(content, str(path))
    return path.with_name("weights.data")


def test_pitch_file_with_other_weights_beside_it_is_another_tracker(tmp_path: Path) -> None:
    path = Path(crossings_graph(tmp_path / "rmvpe.onnx"))
    inside = OnnxPitch(path=str(path)).identity
    assert inside["weights_sha256"] == sha256_of_file(path)
    data = move_weights_out(path, "kernel")

    before = OnnxPitch(path=str(path)).identity
    data.write_bytes((1.001 * np.fromfile(data, np.float32)).astype(np.float32).tobytes())

    assert OnnxPitch(path=str(path)).identity != before


def test_content_file_with_other_weights_beside_it_is_another_encoder(tmp_path: Path) -> None:
    hubert = open_content(path=str(write_hubert(tmp_path / "hubert", num_hidden_layers=1)), layer=1, name="contentvec")
    assert isinstance(hubert, HubertContent)
    path = write_file(tmp_path / "vec.onnx", hubert, 2, False, 17)
    assert opened(path).identity["weights_sha256"] == sha256_of_file(path)
    largest = max(onnx.load(str(path)).graph.initializer, key=lambda item: item.ByteSize())
    data = move_weights_out(path, largest.name)

    before = opened(path).identity
    data.write_bytes((1.001 * np.fromfile(data, np.float32)).astype(np.float32).tobytes())

    assert opened(path).identity != before
