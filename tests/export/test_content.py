"""Content encoders of others inside the exported graph: HuBERT as a network, an ONNX file as a loop over its graph."""

import io
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, version_converter
from torch import Tensor, nn

from tests.tools.hubert_tools import write_hubert
from utils.errors import ExportError, WorkbenchError
from utils.export.inlining import inline_content_files
from utils.features.content.base import ContentEncoder
from utils.features.content.hubert import HubertContent, open_content
from utils.features.content.onnx_file import OnnxContent
from utils.voice_file.runtime import open_session


class AsOthersExport(nn.Module):
    """A HuBERT with the input and output that a tool gives its file."""

    def __init__(self, network: nn.Module, rank: int, *, is_channels_first: bool, repeats: int = 1) -> None:
        super().__init__()
        self.network, self.rank = network, rank
        self.is_channels_first, self.repeats = is_channels_first, repeats

    def forward(self, source: Tensor) -> Tensor:
        hidden = self.network(source[:, 0] if self.rank == 3 else source)
        hidden = hidden.repeat_interleave(self.repeats, dim=1) if self.repeats > 1 else hidden
        return hidden.transpose(1, 2) if self.is_channels_first else hidden


def write_file(path: Path, hubert: HubertContent, rank: int, is_channels_first: bool, opset: int, **more: int) -> Path:
    """Export one recording at a time with a free length, as the tools do."""
    module = AsOthersExport(hubert.network, rank, is_channels_first=is_channels_first, **more)
    buffer = io.BytesIO()
    example = torch.zeros(1, 16000) if rank == 2 else torch.zeros(1, 1, 16000)
    torch.onnx.export(
        module, (example,), buffer, dynamo=False, opset_version=opset, input_names=["source"],  # type: ignore[arg-type]
        output_names=["embed"], dynamic_axes={"source": {rank - 1: "time"}},
    )  # fmt: skip
    path.write_bytes(buffer.getvalue())
    return path


@pytest.fixture(scope="module")
def hubert(tmp_path_factory: pytest.TempPathFactory) -> HubertContent:
    folder = write_hubert(tmp_path_factory.mktemp("hubert"), num_hidden_layers=1)
    opened = open_content(path=str(folder), layer=1, name="contentvec")
    assert isinstance(opened, HubertContent)
    return opened


FORMS = [(3, False, 13), (2, True, 18)]


@pytest.fixture(scope="module", params=FORMS, ids=["1x1xT-frames-opset13", "1xT-channels-opset18"])
def file(request: pytest.FixtureRequest, hubert: HubertContent, tmp_path_factory: pytest.TempPathFactory) -> Path:
    rank, is_channels_first, opset = request.param
    path = tmp_path_factory.mktemp("file") / "vec-768-layer-12.onnx"
    return write_file(path, hubert, rank, is_channels_first, opset)


def opened(path: Path, **more: bool) -> OnnxContent:
    encoder = open_content(path=str(path), layer=1, name="contentvec", **more)
    assert isinstance(encoder, OnnxContent)
    return encoder


class Features(nn.Module):
    """Features as a voice needs them, which may be any number of layers behind its encoder."""

    def __init__(self, encoder: ContentEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, audio: Tensor) -> Tensor:
        return torch.tanh(self.encoder(audio))


def graph_of(encoder: ContentEncoder) -> onnx.ModelProto:
    """Trace an encoder as build_graph traces a voice."""
    buffer = io.BytesIO()
    axes = {0: "batch", 1: "time"}
    torch.onnx.export(
        Features(encoder), (torch.from_numpy(noise(2, 8000)),), buffer, dynamo=False, opset_version=17,  # type: ignore[arg-type]
        input_names=["audio"], output_names=["output"], dynamic_axes={"audio": axes, "output": axes},
    )  # fmt: skip
    return inline_content_files(onnx.load_model_from_string(buffer.getvalue()))


def outputs_of(graph: onnx.ModelProto, audio: np.ndarray) -> np.ndarray:
    output: np.ndarray = open_session(graph.SerializeToString(), 1).run(["output"], {"audio": audio})[0]
    return output


def noise(batch: int, samples: int) -> np.ndarray:
    return (0.1 * np.random.default_rng(4).standard_normal((batch, samples))).astype(np.float32)


def test_a_hubert_stands_inside_the_graph_at_every_length(hubert: HubertContent) -> None:
    graph = graph_of(hubert)

    for batch, frames in ((1, 1), (1, 2), (2, 3), (1, 10), (3, 51), (1, 3003)):
        audio = noise(batch, frames * 160)
        expected = torch.tanh(hubert(torch.from_numpy(audio))).numpy()
        np.testing.assert_allclose(outputs_of(graph, audio), expected, atol=2e-5)


def test_a_file_stands_inside_the_graph_as_the_network_it_was_made_from(file: Path, hubert: HubertContent) -> None:
    graph = graph_of(opened(file))

    assert {item.domain for item in graph.opset_import} == {""} and graph.opset_import[0].version == 17
    assert [node.op_type for node in graph.graph.node].count("Loop") == 1
    onnx.checker.check_model(graph, full_check=True)
    for batch, frames in ((1, 1), (2, 3), (3, 51)):
        audio = noise(batch, frames * 160)
        expected = torch.tanh(hubert(torch.from_numpy(audio))).numpy()
        np.testing.assert_allclose(outputs_of(graph, audio), expected, atol=2e-5)


def test_a_file_gives_the_features_of_its_network(file: Path, hubert: HubertContent) -> None:
    encoder, audio = opened(file), torch.from_numpy(noise(2, 4960))

    assert (encoder.dim, encoder.is_exportable) == (16, True)
    torch.testing.assert_close(encoder(audio), hubert(audio), atol=1e-5, rtol=0)
    for frames in (1, 2, 3):
        assert encoder(audio[:, : frames * 160]).shape == (2, frames, 16)
    assert {"id": "contentvec", "layer": 1, "dim": 16}.items() <= encoder.identity.items()
    assert encoder.identity != opened(file, is_normalized=True).identity


def identity_file(path: Path, inputs: list[tuple[str, int, list[str | int]]], outputs: list[str]) -> Path:
    """A graph that gives its first input back."""
    values = [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in inputs]
    results = [helper.make_tensor_value_info(name, inputs[0][1], None) for name in outputs]
    nodes = [helper.make_node("Identity", [inputs[0][0]], [name]) for name in outputs]
    model = helper.make_model(
        helper.make_graph(nodes, "g", values, results), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    path.write_bytes(model.SerializeToString())
    return path


AUDIO: tuple[str, int, list[str | int]] = ("source", TensorProto.FLOAT, [1, "time"])


@pytest.mark.parametrize(
    ("inputs", "outputs", "words"),
    [
        ([AUDIO, ("mask", TensorProto.BOOL, [1, "time"])], ["embed"], "takes source tensor(float) [1, 'time'], mask"),
        ([("source", TensorProto.FLOAT16, [1, "time"])], ["embed"], "an encoder takes one float input of audio"),
        (
            [AUDIO],
            ["units9", "unit12"],
            "gives units9, unit12; none or more than one of them ends with content.layer=1",
        ),
        ([AUDIO], ["embed"], "gives [1, 16000] for 1 s and [1, 32000] for 2 s; 50 frames a second are needed"),
        ([("source", TensorProto.FLOAT, [1, 400])], ["embed"], "does not take 1 s and 2 s of audio"),
    ],
)
def test_a_file_of_another_kind_is_one_line(
    tmp_path: Path, inputs: list[tuple[str, int, list[str | int]]], outputs: list[str], words: str
) -> None:
    path = identity_file(tmp_path / "other.onnx", inputs, outputs)

    with pytest.raises(WorkbenchError) as caught:
        opened(path)

    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_with_another_frame_rate_is_one_line(tmp_path: Path, hubert: HubertContent) -> None:
    path = write_file(tmp_path / "double.onnx", hubert, 2, False, 17, repeats=2)

    with pytest.raises(WorkbenchError, match="50 frames a second are needed"):
        opened(path)


def test_a_damaged_file_says_what_to_put_where(tmp_path: Path) -> None:
    path = tmp_path / "vec.onnx"
    path.write_bytes(b"<html>")

    with pytest.raises(WorkbenchError, match=r"is no ONNX graph .* put one somewhere and type content\.path="):
        opened(path)


def test_a_file_that_cannot_be_brought_to_the_opset_says_what_to_do(
    tmp_path: Path, hubert: HubertContent, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = opened(write_file(tmp_path / "vec.onnx", hubert, 2, False, 18))

    def fail(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
        raise RuntimeError("no adapter")

    monkeypatch.setattr(version_converter, "convert_version", fail)
    with pytest.raises(ExportError, match=r"opset 18 and cannot be brought to 17 \(no adapter\); choose another"):
        graph_of(encoder)
