"""What a graph makes of speech where there is no double precision, and in OpenVINO where that is installed.

python -m benchmarks.single_precision exports/<voice>/<file>.onnx speech.wav
"""

import argparse
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import soundfile
import soxr
from onnx import TensorProto, numpy_helper

from benchmarks.options import BenchmarkParser, write_figures
from utils.command_line import run_program
from utils.console import emit
from utils.inference import VoiceSession
from utils.verification.measures import relative_db
from utils.voice_file.controls import control_arrays
from utils.voice_file.runtime import open_session

SECONDS = 40


def in_single_precision(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Return a graph in which every double is a float."""
    single = onnx.ModelProto()
    single.CopyFrom(graph)
    for tensor in single.graph.initializer:
        _reduce(tensor)
    for node in single.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                _reduce(attribute.t)
            elif node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.DOUBLE:
                attribute.i = TensorProto.FLOAT
    del single.graph.value_info[:]
    return single


def _reduce(tensor: onnx.TensorProto) -> None:
    if tensor.data_type == TensorProto.DOUBLE:
        values = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def in_openvino(path: Path, feed: Mapping[str, np.ndarray], hints: Mapping[str, Any]) -> np.ndarray:
    """Return [1, T], what OpenVINO makes of a feed on the processor; what a graph has as a constant is left out."""
    openvino: Any = importlib.import_module("openvino")
    model = openvino.Core().compile_model(str(path), "CPU", dict(hints))
    names = {item.get_any_name() for item in model.inputs}
    made: np.ndarray = model({name: value for name, value in feed.items() if name in names})[0]
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = BenchmarkParser("single_precision", __doc__)
    parser.add_argument("voice", type=Path, help="exported graph for recordings")
    parser.add_argument("audio", type=Path, help=f"speech, at most {SECONDS} s of it are used")
    parser.add_json()
    options = parser.parse_args(arguments)
    return run_program("single_precision", lambda: measure(options))


def measure(options: argparse.Namespace) -> int:
    """Print the table; return the exit code."""
    session = VoiceSession.open(options.voice)
    samples, rate = soundfile.read(options.audio, dtype="float32", always_2d=True)
    audio = soxr.resample(samples.mean(axis=1), rate, session.sample_rate, quality="HQ").astype(np.float32)
    audio = audio[: SECONDS * session.sample_rate]
    expected = session.run(audio)[None]
    defaults = session.metadata.defaults if session.metadata is not None else {}
    feed = {"audio": audio[None]} | control_arrays(defaults)
    single = open_session(in_single_precision(onnx.load(str(options.voice))).SerializeToString())
    rows = {"onnxruntime, every double a float": single.run(None, feed)[0]}
    if importlib.util.find_spec("openvino") is not None:
        rows["OpenVINO"] = in_openvino(options.voice, feed, {"INFERENCE_PRECISION_HINT": "f32"})
        exact = {"INFERENCE_PRECISION_HINT": "f32", "EXECUTION_MODE_HINT": "ACCURACY"}
        rows["OpenVINO, EXECUTION_MODE_HINT=ACCURACY"] = in_openvino(options.voice, feed, exact)
    decibels = {name: relative_db(made, expected) for name, made in rows.items()}
    lines = [f"| {name} | {value:.1f} |" for name, value in decibels.items()]
    emit("\n".join([f"| over {audio.size / session.sample_rate:.0f} s | dB from onnxruntime |", "|---|---|", *lines]))
    write_figures(options, "single_precision", decibels)
    return 0


if __name__ == "__main__":
    sys.exit(main())
