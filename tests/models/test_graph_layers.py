"""The forms that layers take in an exported graph give what they give in PyTorch, in few operators."""

import io

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto
from torch import Tensor, nn
from torch.testing import assert_close

from models.export_forms.lite import block_product
from models.layers.convnext import ConvNeXtBlock
from models.layers.excitation import PulseTrain
from models.layers.frames import FramesToSamples
from models.layers.image import apply_linear, from_image, gelu, to_image
from utils.audio.graph_form import graph_form
from utils.audio.reshaping import neighbours, reshape
from utils.features.retrieval import CodebookRetrieval


class Reshaped(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return reshape(x, 0, -1, 4)


class Neighbours(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return neighbours(x)


class Searched(nn.Module):
    def __init__(self, speakers: int) -> None:
        super().__init__()
        codebook = torch.randn(speakers, 20, 4, generator=torch.Generator().manual_seed(0))
        self.retrieval = CodebookRetrieval(codebook)

    def forward(self, x: Tensor, share: Tensor) -> Tensor:
        found: Tensor = self.retrieval(x, torch.zeros_like(x[:, 0, 0]).long(), share)
        return found


def traced(module: nn.Module, *inputs: Tensor) -> onnx.ModelProto:
    buffer = io.BytesIO()
    names = [f"x{index}" for index in range(len(inputs))]
    axes = {"x0": {0: "batch", 1: "time"}}
    torch.onnx.export(
        graph_form(module).eval(), inputs, buffer, dynamo=False, opset_version=17, input_names=names, dynamic_axes=axes  # type: ignore[arg-type]
    )  # fmt: skip
    return onnx.load_model_from_string(buffer.getvalue())


def answer(graph: onnx.ModelProto, *inputs: Tensor) -> Tensor:
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    values = {f"x{index}": value.numpy() for index, value in enumerate(inputs)}
    return torch.from_numpy(np.asarray(session.run(None, values)[0]))


@pytest.mark.parametrize("module", [Reshaped(), Neighbours(), FramesToSamples(6)], ids=["reshape", "ends", "samples"])
@pytest.mark.parametrize("length", [4, 20])
def test_other_lengths_give_what_pytorch_gives(module: nn.Module, length: int) -> None:
    graph = traced(module, torch.randn(2, 8))
    x = torch.randn(3, length, generator=torch.Generator().manual_seed(length))

    assert_close(answer(graph, x), module(x), atol=1e-6, rtol=1e-6)
    assert not {"Shape", "Gather"} & {node.op_type for node in graph.graph.node}


def test_neighbours_stand_beside_each_value_and_the_ends_beside_themselves() -> None:
    found = neighbours(torch.tensor([[1.0, 2.0, 5.0]]))

    assert_close(found, torch.tensor([[[1.0, 1.0, 2.0], [1.0, 2.0, 5.0], [2.0, 5.0, 5.0]]]))


def test_one_frame_is_its_own_neighbour() -> None:
    assert_close(neighbours(torch.tensor([[3.0]])), torch.full((1, 1, 3), 3.0))


def test_image_form_of_a_block_equals_the_block() -> None:
    torch.manual_seed(0)
    block, x = ConvNeXtBlock(8), torch.randn(2, 8, 11)

    with torch.no_grad():
        image = x.transpose(1, 2).unsqueeze(1)
        found = image + block_product(block, image) + block.scaled_projection()[1]
        assert_close(found.squeeze(1).transpose(1, 2), block(x), atol=1e-5, rtol=1e-5)


def test_image_form_of_a_linear_layer_and_gelu() -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(5, 7), torch.randn(2, 1, 3, 5)

    with torch.no_grad():
        found = from_image(gelu(apply_linear(layer, to_image(x))))
        assert_close(found, nn.functional.gelu(layer(x)), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("speakers", [1, 2])
def test_a_graph_searches_only_when_something_is_wanted(speakers: int) -> None:
    module, x = Searched(speakers), torch.randn(2, 9, 4, generator=torch.Generator().manual_seed(1))
    graph = traced(module, x[:, :5], torch.tensor(0.5))

    assert [node.op_type for node in graph.graph.node].count("If") == 1
    assert "TopK" not in {node.op_type for node in graph.graph.node}
    assert_close(answer(graph, x, torch.tensor(0.1)), module(x, torch.tensor(0.1)), atol=1e-5, rtol=1e-5)
    assert_close(answer(graph, x, torch.tensor(0.0)), x)


def test_no_product_in_float64_reads_what_was_transposed() -> None:
    """onnxruntime 1.20 merges the two into an operator that it has for float32 alone, and refuses the file."""
    graph = onnx.shape_inference.infer_shapes(traced(PulseTrain(24000, 240), torch.full((2, 8), 100.0))).graph
    kinds = {value.name: value.type.tensor_type.elem_type for value in graph.value_info}
    made_by = {name: node for node in graph.node for name in node.output}
    products = [node for node in graph.node if node.op_type == "MatMul" and kinds[node.output[0]] == TensorProto.DOUBLE]

    assert len(products) == 2
    for node in products:
        source = made_by[node.input[0]]
        while source.op_type == "Cast":
            source = made_by[source.input[0]]
        assert source.op_type != "Transpose"
