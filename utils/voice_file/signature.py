"""Inputs and outputs of the graphs of this workbench: names, element types and axes."""

from dataclasses import dataclass

AUDIO_INPUT = "audio"
AUDIO_OUTPUT = "output"
STATE_INPUT = "state"  # of a streaming graph
NEXT_STATE_OUTPUT = "next_state"
FLOAT, HALF, INTEGER = "tensor(float)", "tensor(float16)", "tensor(int64)"  # as onnxruntime writes them
OPSETS = range(17, 21)  # versions of the operators that runtimes of the last years load


@dataclass(frozen=True)
class GraphValue:
    """An input or output of a graph: name, element type as onnxruntime writes it, axes."""

    name: str
    type: str
    shape: tuple[int | str | None, ...]
