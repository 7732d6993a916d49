"""From a PyTorch module to the nodes of an ONNX graph, by either of PyTorch's exporters."""

import contextlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import onnx
import torch
from torch import Tensor, nn

from utils.errors import ConfigError, ExportError
from utils.voice_file.signature import OPSETS

Exporter = Literal["torchscript", "dynamo"]
EXPORTERS: tuple[Exporter, ...] = ("torchscript", "dynamo")
FreeAxes = Mapping[str, Mapping[int, str]]  # name of the value -> number of the axis -> its name
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class GraphOptions:
    """How a graph is made.

    Attributes:
        opset: version of the ONNX operators.
        exporter: "torchscript" (tracing; takes any network whose lengths follow from its input's) or "dynamo"
            (torch.export; refuses slices whose ends are computed, which frame-wise audio code is full of).
        controls_as_inputs: whether every run must be given the controls, for runtimes that cannot override a default.
    """

    opset: int = 17
    exporter: Exporter = "torchscript"
    controls_as_inputs: bool = False

    def __post_init__(self) -> None:
        if self.opset not in OPSETS:
            raise ConfigError(
                f"export.opset={self.opset} is out of range; allowed: {OPSETS.start} to {OPSETS.stop - 1}, "
                "so that runtimes of the last years can load the voice"
            )
        if self.exporter not in EXPORTERS:
            raise ConfigError(f"export.exporter={self.exporter!r} is unknown; allowed: {', '.join(EXPORTERS)}")
        if self.exporter == "dynamo" and self.opset < 18:
            raise ConfigError(
                f"export.exporter=dynamo cannot make opset {self.opset}; set export.opset=18 or choose torchscript"
            )


@dataclass(frozen=True, kw_only=True)
class Signature:
    """Inputs and outputs of a module that is traced.

    Attributes:
        values: one tensor for each input.
        inputs: names of the inputs.
        outputs: names of the outputs.
        free_axes: of inputs and outputs; every other axis is fixed.
    """

    values: tuple[Tensor, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    free_axes: FreeAxes


def trace(
    module: nn.Module, signature: Signature, *, opset: int, exporter: Exporter = "torchscript"
) -> onnx.ModelProto:
    """Trace a module in evaluation mode.

    Args:
        module: takes and gives what the signature says.
        signature: its inputs and outputs.
        opset: version of the operators.
        exporter: by which it is traced.
    Raises:
        ExportError: if the exporter refuses the module; in one line.
    """
    run = _run_dynamo if exporter == "dynamo" else _run_torchscript
    with quiet() as said, _no_native_output(), torch.no_grad():
        try:
            return run(module, signature, opset)
        except torch.onnx.OnnxExporterError as error:
            log.debug("exporter output:\n%s", said.getvalue())
            raise ExportError(f"the {exporter} exporter refused the network: {_reason(error)}") from error


def _run_dynamo(module: nn.Module, signature: Signature, opset: int) -> onnx.ModelProto:
    # DYNAMIC, not AUTO: an axis that the network fixes is an error instead of a graph for one length.
    free = torch.export.Dim.DYNAMIC
    shapes = tuple(
        dict.fromkeys(signature.free_axes[name], free) if name in signature.free_axes else None
        for name in signature.inputs
    )
    program = torch.onnx.export(
        module,
        signature.values,
        dynamo=True,
        opset_version=opset,
        input_names=list(signature.inputs),
        output_names=list(signature.outputs),
        dynamic_shapes=shapes,
        external_data=False,
        verbose=False,
    )
    if program is None:
        raise ExportError("the dynamo exporter returned nothing")
    return program.model_proto


def _run_torchscript(module: nn.Module, signature: Signature, opset: int) -> onnx.ModelProto:
    # Known to every operator set as Pow, but this exporter has no entry for it.
    torch.onnx.register_custom_op_symbolic("aten::exp2", _power_of_two, opset)
    buffer = io.BytesIO()
    torch.onnx.export(
        module,
        signature.values,
        buffer,  # type: ignore[arg-type]  # the tracing exporter accepts a stream
        dynamo=False,
        opset_version=opset,
        input_names=list(signature.inputs),
        output_names=list(signature.outputs),
        dynamic_axes={name: dict(axes) for name, axes in signature.free_axes.items()},
    )
    return onnx.load_model_from_string(buffer.getvalue())


def _power_of_two(graph: Any, exponent: Any) -> Any:
    return graph.op("Pow", graph.op("Constant", value_t=torch.tensor(2.0)), exponent)


@contextlib.contextmanager
def quiet() -> Iterator[io.StringIO]:
    """Keep what exporters print, warn and log in a buffer; exceptions pass through."""
    said = io.StringIO()
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield said
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def _no_native_output() -> Iterator[None]:
    """Discard what libraries write to file descriptor 1: on an error torch dumps the whole graph there."""
    sys.stdout.flush()
    saved = os.dup(1)
    with Path(os.devnull).open("wb") as nothing:
        os.dup2(nothing.fileno(), 1)
    try:
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)


def _reason(error: BaseException) -> str:
    """Return the innermost message of a chain of exporter errors in one line."""
    innermost = error
    while innermost.__cause__ is not None:
        innermost = innermost.__cause__
    lines = [line.strip() for line in str(innermost).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(innermost).__name__
