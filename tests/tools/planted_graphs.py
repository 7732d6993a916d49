"""Small graphs with planted faults, which verification must find."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper

from utils.verification import rules
from utils.verification.candidate import Candidate, Extent
from utils.verification.checks import Check
from utils.verification.reference import Reference
from utils.voice_file.controls import CONTROLS, ControlDefaults

RATE = 8000
NAME = "tiny_sr8000_hop80_nfft320.onnx"
SHORT = Extent(minutes=0, num_blocks=0, listens=False)
SHAPE = ["batch", "time"]
BLOCKS = {f"voclo, blocks of {size}" for size in (4410, 4800, 19200)}


def write(
    folder: Path,
    *last: NodeProto,
    name: str = NAME,
    inputs: tuple[onnx.ValueInfoProto, ...] = (),
    constants: dict[str, Any] | None = None,
    output_type: int = TensorProto.FLOAT,
    output_shape: list[Any] | None = None,
    first: tuple[NodeProto, ...] | None = None,
) -> Path:
    """Write a graph that rectifies its input; `last` are nodes from "sound" to "output"."""
    clean = (
        helper.make_node("IsNaN", ["audio"], ["broken"]),
        helper.make_node("Where", ["broken", "zero", "audio"], ["real"]),
        helper.make_node("Clip", ["real", "low", "high"], ["finite"]),
        helper.make_node("Abs", ["finite"], ["sound"]),
    )
    nodes = [*(clean if first is None else first), *(last or (helper.make_node("Identity", ["sound"], ["output"]),))]
    values = {"zero": np.float32(0), "low": np.float32(-1), "high": np.float32(1), **(constants or {})}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("audio", TensorProto.FLOAT, SHAPE), *inputs],
        [helper.make_tensor_value_info("output", output_type, output_shape or SHAPE)],
        [onnx.numpy_helper.from_array(np.array(value), key) for key, value in values.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), str(folder / name))
    return folder / name


def node(operator: str, *inputs: str, **attributes: Any) -> NodeProto:
    """Return a node from its inputs to "output"."""
    return helper.make_node(operator, list(inputs), ["output"], **attributes)


def delayed(folder: Path, milliseconds: float) -> Path:
    """Write a graph whose output comes late."""
    late = round(milliseconds * RATE / 1000)
    return write(
        folder,
        helper.make_node("Pad", ["sound", "pads"], ["longer"]),
        node("Slice", "longer", "start", "end", "axis"),
        constants={"pads": np.array([0, late, 0, 0]), "start": np.array([0]), "end": np.array([-late]),
                   "axis": np.array([1])},
    )  # fmt: skip


def speaking(folder: Path, *, late: int = 0, name: str = NAME) -> Path:
    """Write a graph that keeps every rule that listens and copies nothing: an all-pass, the same for -audio.

    Its phase is 2.5 sin(f / 2 kHz * 2 pi): taps of Bessel functions, every half millisecond.
    """
    angle = np.linspace(0, 2 * np.pi, 4000, endpoint=False)
    step, orders = RATE // 2000, np.arange(-8, 9)
    taps = [np.exp(1j * (2.5 * np.sin(angle) - order * angle)).mean().real for order in orders]
    kernel = np.zeros(2 * 8 * step + 1, np.float32)
    kernel[::step] = taps
    half = len(kernel) // 2
    return write(
        folder,
        helper.make_node("Pow", ["finite", "three"], ["cubes"]),
        helper.make_node("ReduceSum", ["cubes", "axis"], ["lean"], keepdims=1),
        helper.make_node("Sign", ["lean"], ["sign"]),
        helper.make_node("Mul", ["finite", "sign"], ["same"]),
        helper.make_node("Unsqueeze", ["same", "axis"], ["wide"]),
        helper.make_node("Conv", ["wide", "kernel"], ["smeared"], pads=[half, half]),
        helper.make_node("Squeeze", ["smeared", "axis"], ["made"]),
        helper.make_node("Pad", ["made", "pads"], ["longer"]),
        helper.make_node("Shape", ["made"], ["sizes"]),
        helper.make_node("Slice", ["sizes", "axis", "after", "first"], ["size"]),
        node("Slice", "longer", "first", "size", "axis"),
        name=name,
        constants={"three": np.float32(3), "axis": np.array([1]), "after": np.array([2]), "first": np.array([0]),
                   "pads": np.array([0, late, 0, 0]), "kernel": kernel[None, None]},
    )  # fmt: skip


def with_position(folder: Path, *last: NodeProto, **constants: Any) -> Path:
    """Write a graph whose last nodes also know "position", the number of each sample."""
    counting = (
        helper.make_node("Equal", ["sound", "sound"], ["same"]),
        helper.make_node("Cast", ["same"], ["ones"], to=TensorProto.FLOAT),
        helper.make_node("CumSum", ["ones", "axis"], ["position"]),
    )
    return write(folder, *counting, *last, constants={"axis": np.int64(1), **constants})


def with_controls(folder: Path, *last: NodeProto, **constants: Any) -> Path:
    """Write a graph with the five optional inputs, all of them bounded, and nodes from "sound" to "output"."""
    path = write(folder, *last, constants=constants)
    model = onnx.load(str(path))
    for control in CONTROLS:
        kind = TensorProto.INT64 if control.is_integer else TensorProto.FLOAT
        model.graph.input.append(helper.make_tensor_value_info(control.name, kind, []))
        model.graph.initializer.append(helper.make_tensor(control.name, kind, [], [0]))
    onnx.save(model, str(path))
    return path


def extra_float(folder: Path) -> Path:
    value = helper.make_tensor_value_info("noise", TensorProto.FLOAT, SHAPE)
    return write(folder, node("Add", "sound", "noise"), inputs=(value,))


def extra_integer(folder: Path) -> Path:
    value = helper.make_tensor_value_info("sid", TensorProto.INT64, ["batch"])
    return write(
        folder,
        helper.make_node("Cast", ["sid"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["number"], ["sum"], keepdims=0),
        node("Add", "sound", "sum"),
        inputs=(value,),
    )


def external(folder: Path) -> Path:
    path = write(folder, node("Add", "sound", "weight"), constants={"weight": np.zeros((1, 2000), np.float32)[:, :1]})
    model = onnx.load(str(path))
    onnx.save(model, str(path), save_as_external_data=True, location="weights.bin", size_threshold=0)
    return path


def failed(checks: list[Check]) -> dict[str, str]:
    return {check.name: check.detail for check in checks if not check.passed}


def reference_of(conversion: Callable[[np.ndarray], np.ndarray], **values: Any) -> Reference:
    """Return a reference that converts [B, T] so whatever the controls are."""
    given = {"sample_rate": RATE, "num_speakers": 1, "idle_controls": frozenset(), **values}
    return Reference(convert=lambda audio, controls: conversion(audio), defaults=ControlDefaults(), **given)


def verify(path: Path, reference: Reference | None = None, extent: Extent = SHORT) -> list[Check]:
    return rules.verify(Candidate(path=path, extent=extent), reference)
