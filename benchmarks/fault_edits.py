"""Editing an exported graph: to plant a fault into it, behind its sound, before a control or inside."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from utils.errors import ConfigError
from utils.voice_file.names import parse_file_name
from utils.voice_file.signature import AUDIO_INPUT, AUDIO_OUTPUT

FAR = 1 << 60
Change = Callable[[str], str]


class GraphEditor:
    """A graph that is edited; each method that makes a tensor returns its name.

    Args:
        path: the graph.
    """

    def __init__(self, path: Path) -> None:
        self.model = onnx.load(str(path))
        self.sample_rate = parse_file_name(path).sample_rate
        self.graph = self.model.graph
        self._count = 0
        self._waiting: list[onnx.NodeProto] = []

    # tensors

    def constant(self, value: Any, kind: Any = np.float32) -> str:
        """Return a constant; float32 unless said otherwise."""
        name = self._name("constant")
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(value, kind), name))
        return name

    def whole(self, *values: int) -> str:
        """Return a constant [N] of whole numbers."""
        return self.constant(values, np.int64)

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Return the output of a new node; it stands where the next change is put."""
        output = self._name(operator)
        self._waiting.append(helper.make_node(operator, list(inputs), [output], name=output, **attributes))
        return output

    def as_float(self, tensor: str) -> str:
        """Return numbers or truths as float32."""
        return self.node("Cast", tensor, to=TensorProto.FLOAT)

    def clean_input(self) -> str:
        """Return the input [B, T] within full scale, without NaN."""
        return self.node("Clip", self.without_nan(AUDIO_INPUT), self.constant(-1), self.constant(1))

    def without_nan(self, tensor: str) -> str:
        """Return a tensor with 0 for NaN."""
        return self.node("Where", self.node("IsNaN", tensor), self.constant(0), tensor)

    def size(self, axis: int) -> str:
        """Return [1], the length of an axis of the input."""
        return self.node(
            "Slice", self.node("Shape", AUDIO_INPUT), self.whole(axis), self.whole(axis + 1), self.whole(0)
        )

    def position(self) -> str:
        """Return [T], the number of each sample as float32."""
        last = self.node("Squeeze", self.size(1), self.whole(0))
        return self.as_float(self.node("Range", self.constant(0, np.int64), last, self.constant(1, np.int64)))

    def seconds(self) -> str:
        """Return [T], the time of each sample."""
        return self.node("Mul", self.position(), self.constant(1 / self.sample_rate))

    def late(self, tensor: str, seconds: float) -> str:
        """Return [B, T] delayed."""
        samples = round(seconds * self.sample_rate)
        padded = self.node("Pad", tensor, self.whole(0, samples, 0, 0))
        return self.node("Slice", padded, self.whole(0), self.size(1), self.whole(1))

    def scaled(self, tensor: str, factor: float) -> str:
        """Return a tensor times a number."""
        return self.node("Mul", tensor, self.constant(factor))

    def reversed(self, tensor: str, axis: int = 1) -> str:
        """Return a tensor backwards."""
        ends = self.whole(-1), self.whole(-FAR), self.whole(axis), self.whole(-1)
        return self.node("Slice", tensor, *ends)

    def filtered(self, tensor: str, kernel: Sequence[float] | np.ndarray) -> str:
        """Return [B, T] through a filter of odd length, centred."""
        weights = self.constant(np.asarray(kernel)[None, None, ::-1])
        wide = self.node("Unsqueeze", tensor, self.whole(1))
        half = len(kernel) // 2
        return self.node("Squeeze", self.node("Conv", wide, weights, pads=[half, half]), self.whole(1))

    def sounding(self, tensor: str, least: float = 1e-4) -> str:
        """Return 1 where a tensor sounds, else 0."""
        return self.as_float(self.node("Greater", self.node("Abs", tensor), self.constant(least)))

    # places

    def behind(self, change: Change) -> None:
        """Put a change behind the sound of the graph."""
        before = self._name("sound")
        for node in self.graph.node:
            for place, name in enumerate(node.output):
                if name == AUDIO_OUTPUT:
                    node.output[place] = before
        for node in self.graph.node:
            for place, name in enumerate(node.input):
                if name == AUDIO_OUTPUT:
                    node.input[place] = before
        after = change(before)
        self._waiting.append(helper.make_node("Identity", [after], [AUDIO_OUTPUT], name=self._name("last")))
        self.graph.node.extend(self._waiting)
        self._waiting = []

    def inside(self, tensor: str, change: Change) -> None:
        """Let all that reads a tensor, or an input, read a change of it."""
        makers = [place for place, node in enumerate(self.graph.node) if tensor in node.output]
        place = makers[0] if makers else -1
        readers = list(self.graph.node)[place + 1 :]
        after = change(tensor)
        for node in readers:
            _reread(node, tensor, after)
        nodes = list(self.graph.node)
        del self.graph.node[:]
        self.graph.node.extend([*nodes[: place + 1], *self._waiting, *nodes[place + 1 :]])
        self._waiting = []

    def pitch(self) -> str:
        """Return the name of the shifted f0 [B, F].

        Raises:
            ConfigError: if there is none.
        """
        ranks, known = self._ranks, {"pitch_shift"}
        for node in self.graph.node:
            if known & set(node.input):
                known |= set(node.output)
                if ranks.get(node.output[0]) == 2:
                    return str(node.output[0])
        raise ConfigError("the graph has no pitch that pitch_shift changes")

    def content(self) -> str:
        """Return the name of the content [B, F, D] that the network reads, after retrieval.

        Raises:
            ConfigError: if there is none.
        """
        ranks, known = self._ranks, {"index_rate"}
        for node in self.graph.node:
            if known & set(node.input):
                known |= set(node.output)
                if node.op_type == "Add" and ranks.get(node.output[0]) == 3 and node.output[0].count("/") <= 1:
                    return str(node.output[0])
        raise ConfigError("the graph has no content that index_rate changes")

    def save(self, path: Path) -> Path:
        """Write the graph."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.model.SerializeToString())
        return path

    def _name(self, kind: str) -> str:
        self._count += 1
        return f"planted_{kind}_{self._count}"

    @property
    def _ranks(self) -> dict[str, int]:
        inferred = onnx.shape_inference.infer_shapes(self.model).graph
        return {item.name: len(item.type.tensor_type.shape.dim) for item in inferred.value_info}


def _reread(node: onnx.NodeProto, before: str, after: str) -> None:
    for place, name in enumerate(node.input):
        if name == before:
            node.input[place] = after
    for attribute in node.attribute:
        for graph in [attribute.g] if attribute.HasField("g") else []:
            for inner in graph.node:
                _reread(inner, before, after)
