"""The process that runs graphs of strangers for graph_process: it may hang, be killed, or die of one.

A message is the length of its header, the header as JSON, and the bytes of the arrays that the header describes.
Nothing else comes out of here, above all no pickle: whoever took this process over could do no more than lie about
audio.
"""

import json
import os
import struct
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import onnxruntime

from utils.voice_file.runtime import open_session, stored_texts

NUMBERS = "fiub"  # kinds of arrays that pass
LENGTH = struct.Struct("<Q")
LONGEST_HEADER = 1 << 28
OOM_SCORE = Path("/proc/self/oom_score_adj")
Message = dict[str, Any]
Arrays = dict[str, np.ndarray]


def write_message(stream: IO[bytes], header: Message, arrays: Arrays) -> None:
    """Send a message."""
    described = {name: [array.dtype.str, list(array.shape)] for name, array in arrays.items()}
    text = json.dumps({**header, "arrays": described}).encode()
    stream.write(LENGTH.pack(len(text)) + text)
    for array in arrays.values():
        if array.size:
            stream.write(np.ascontiguousarray(array).reshape(-1).data.cast("B"))
    stream.flush()


def read_message(stream: IO[bytes]) -> tuple[Message, Arrays]:
    """Receive a message.

    Raises:
        EOFError: if the other side has gone.
        ValueError: if it is no message.
    """
    (length,) = LENGTH.unpack(_exactly(stream, LENGTH.size))
    if length > LONGEST_HEADER:
        raise ValueError("no message")
    header = json.loads(_exactly(stream, length))
    return header, {name: _array(stream, *described) for name, described in header.pop("arrays").items()}


def _array(stream: IO[bytes], kind: str, shape: list[int]) -> np.ndarray:
    dtype = np.dtype(kind)
    if dtype.kind not in NUMBERS:
        raise ValueError("no array of numbers")
    array = np.empty(shape, dtype)
    if array.size and stream.readinto(array.reshape(-1).data.cast("B")) != array.nbytes:  # type: ignore[attr-defined]
        raise EOFError
    return array


def _exactly(stream: IO[bytes], count: int) -> bytes:
    data = stream.read(count)
    if len(data) != count:
        raise EOFError
    return data


def main() -> None:
    """Serve orders from standard input until it ends."""
    orders, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for channel in (0, 1, 2):  # whatever a library prints is no answer, and nobody's business
        os.dup2(nowhere, channel)
    with suppress(OSError):
        OOM_SCORE.write_text("1000", "ascii")  # a machine without memory ends this process first
    sessions: dict[int, onnxruntime.InferenceSession] = {}
    write_message(answers, {}, {})
    while True:
        try:
            order, arrays = read_message(orders)
        except EOFError:
            return
        try:
            reply, made = _served(order, arrays, sessions)
        except Exception as error:  # noqa: BLE001  the boundary of the process: told to the other side
            reply, made = {"error": type(error).__name__, "text": str(error)[:2000]}, {}
        write_message(answers, reply, made)


def _served(
    order: Message, arrays: Arrays, sessions: dict[int, onnxruntime.InferenceSession]
) -> tuple[Message, Arrays]:
    """Return the answer to an order: "open" a file, "close" a session, "run" one, or run it over "blocks"."""
    if order["do"] == "open":
        data = Path(order["path"]).read_bytes()  # from memory, as hosts do that cannot follow weights in other files
        sessions[order["session"]] = open_session(data, order["threads"])
        return _described(sessions[order["session"]]), {}
    if order["do"] == "close":
        sessions.pop(order["session"], None)
        return {}, {}
    if order["do"] == "blocks":
        return _over_blocks(order, arrays, sessions[order["session"]])
    values = sessions[order["session"]].run(order["outputs"], arrays)
    is_array = [isinstance(value, np.ndarray) and value.dtype.kind in NUMBERS for value in values]
    made = {str(place): value for place, value in enumerate(values) if is_array[place]}
    return {"count": len(values)}, made


def _over_blocks(order: Message, feed: Arrays, session: onnxruntime.InferenceSession) -> tuple[Message, Arrays]:
    """Run a stream over audio [1, T], a block at a time: its state, a megabyte, need not pass through a pipe each time.

    The answer has the "seconds" of each run, and "busy", those of a processor; "audio" [1, T] and the last "state".
    """
    (audio_in, state_in), outputs = order["inputs"], order["outputs"]
    audio, made = feed[audio_in], []
    seconds: list[float] = []
    busy: list[float] = []
    for start in range(0, audio.shape[1], order["block"]):
        given = {**feed, audio_in: audio[:, start : start + order["block"]]}
        started, worked = time.perf_counter(), time.process_time()
        part, feed[state_in] = session.run(outputs, given)
        seconds.append(time.perf_counter() - started)
        busy.append(time.process_time() - worked)
        made.append(part)
    return {"seconds": seconds, "busy": busy}, {"audio": np.concatenate(made, axis=1), "state": feed[state_in]}


def _described(session: onnxruntime.InferenceSession) -> Message:
    texts = stored_texts(session, "the graph")
    return {
        "inputs": [_value(value) for value in session.get_inputs()],
        "outputs": [_value(value) for value in session.get_outputs()],
        "optional": [_value(value) for value in session.get_overridable_initializers()],
        "texts": texts.values,
        "producer": texts.producer,
    }


def _value(value: onnxruntime.NodeArg) -> list[Any]:
    shape = None if value.shape is None else [axis if isinstance(axis, int | str) else None for axis in value.shape]
    return [value.name, value.type, shape]
