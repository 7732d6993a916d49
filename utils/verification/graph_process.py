"""Runs graphs in a process that can be killed: one that never ends, or takes the process down, costs one rule.

It is a new interpreter, neither a fork (threads of PyTorch would hang in it) nor a spawn of multiprocessing (which runs
the main program of whoever calls anew), so it works alike on every system. It serves one graph after the other.
"""

import os
import subprocess
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import psutil

from utils.errors import FormatError
from utils.idle_processes import IdleProcesses, interpreter_of, one_thread
from utils.memory import available_bytes, total_bytes
from utils.verification.graph_child import Arrays, Message, read_message, write_message
from utils.voice_file.runtime import RUNTIME_ERRORS

COMMAND = interpreter_of("utils.verification.graph_child")
START_SECONDS = 60.0
LOOK_SECONDS = 0.2
BUSY = 3.0
MOST_WAITING = 2
USUAL_RATE = 24000
SHARE_OF_MEMORY = 0.8  # of what is available when a run begins, and of the machine
# what a sound graph may take however little is available: beyond it, a full machine ends the process by itself
FLOOR_BYTES = 300e6
FLOOR_PER_BYTE = 5.0  # of the file: as it is read, as onnxruntime parses it, and the weights as its kernels want them
FLOOR_PER_SAMPLE = 2000.0  # of what is fed: 100 MB for a second at 48 kHz, as rules allow; light voices take 130
ERRORS: dict[str, type[Exception]] = {kind.__name__: kind for kind in (*RUNTIME_ERRORS, FormatError, MemoryError)}


@dataclass(frozen=True)
class Limits:
    """How much time of a processor a graph may take; on the clock, beside other work, BUSY times as much.

    Attributes:
        load_seconds: for loading it.
        run_seconds: for a run, whatever is converted.
        per_second: for each second of audio in a run, besides; the slowest sound voices take 1 to 2.
    """

    load_seconds: float = 30.0
    run_seconds: float = 5.0
    per_second: float = 6.0


USUAL_LIMITS = Limits()


class GraphStoppedError(FormatError):
    """A graph did not end by itself, or ended the process that ran it."""


class GraphProcess:
    """Gives orders to a graph_child.

    Raises:
        GraphStoppedError: if it does not start.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=one_thread())
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._orders, self._answers = self._process.stdin, self._process.stdout
        self._lock = threading.Lock()
        self.num_sessions = 0
        self._watched(lambda: read_message(self._answers), START_SECONDS, "the process for graphs did not start")

    @property
    def is_alive(self) -> bool:
        """Whether it can take orders."""
        return self._process.poll() is None

    def resident_bytes(self) -> int:
        """Return its resident memory now; 0 of one that has ended."""
        try:
            return int(psutil.Process(self._process.pid).memory_info().rss)
        except psutil.Error:
            return 0

    def processor_seconds(self) -> float:
        """Return how much time of a processor it has taken so far; 0 of one that has ended."""
        try:
            times = psutil.Process(self._process.pid).cpu_times()
        except psutil.Error:
            return 0.0
        return float(times.user + times.system)

    def ask(
        self, order: Message, arrays: Arrays, seconds: float, what: str, *, least_bytes: float = FLOOR_BYTES
    ) -> tuple[Message, Arrays]:
        """Return the answer to an order.

        Args:
            order: see graph_child.
            arrays: what goes with it.
            seconds: after which the process is killed.
            what: the work, for messages.
            least_bytes: that the work may take, however little memory is available.
        Raises:
            GraphStoppedError: if the process was killed or died.
            Exception: what the work raised, one of ERRORS.
        """

        def exchange() -> tuple[Message, Arrays]:
            write_message(self._orders, order, arrays)
            return read_message(self._answers)

        with self._lock:
            reply, made = self._watched(exchange, seconds, what, least_bytes)
        if "error" in reply:
            kind = ERRORS.get(reply["error"])
            raise kind(reply["text"]) if kind else FormatError(f"{reply['error']}: {reply['text']}")
        return reply, made

    def end(self) -> None:
        """Kill it, if it has not ended."""
        self._process.kill()
        for pipe in (self._orders, self._answers):
            with suppress(OSError):  # it died with an order in the pipe
                pipe.close()
        self._process.wait()

    def _watched(
        self, work: Any, seconds: float, what: str, least_bytes: float = FLOOR_BYTES
    ) -> tuple[Message, Arrays]:
        watch = _Watch(self._process, seconds, least_bytes)
        try:
            answer: tuple[Message, Arrays] = work()
            return answer
        except (EOFError, OSError, ValueError) as error:
            reason = watch.reason or "ended the process that ran it"
            self.end()
            code = self._process.returncode
            ending = "" if watch.reason else f" ({f'signal {-code}' if code < 0 else f'exit code {code}'})"
            raise GraphStoppedError(f"{what} {reason}{ending}") from error
        finally:
            watch.done.set()


class _Watch:
    """Kills a process that takes too long or too much memory for what it does now."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float, least_bytes: float) -> None:
        self.done = threading.Event()
        self.reason: str | None = None
        self._process, self._seconds = process, seconds
        self._most = max(SHARE_OF_MEMORY * available_bytes(), min(least_bytes, SHARE_OF_MEMORY * total_bytes()))
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        started, before = time.monotonic(), None
        while not self.done.wait(LOOK_SECONDS):
            try:
                seen = psutil.Process(self._process.pid)
                times, memory = seen.cpu_times(), seen.memory_info().rss
            except psutil.Error:
                return
            now = times.user + times.system, memory
            before = before or now
            waited = time.monotonic() - started
            if now[0] - before[0] > self._seconds or waited > BUSY * self._seconds:
                self.reason = f"did not end within {waited:.0f} s"
            elif now[1] - before[1] > self._most:
                self.reason = f"took more than {self._most / 1e9:.1f} GB of memory"
            if self.reason is not None:
                self._process.kill()
                return


class BlockAnswer(NamedTuple):
    """What a stream made of some blocks.

    Attributes:
        audio: [1, T].
        state: that the next block is given.
        seconds: that each block took in the process of the graph.
        busy: seconds of a processor that each block took.
    """

    audio: np.ndarray
    state: np.ndarray
    seconds: list[float]
    busy: list[float]


@cache
def graph_processes() -> IdleProcesses[GraphProcess]:
    """Return the processes for graphs of this process."""
    return IdleProcesses(GraphProcess, MOST_WAITING)


class RemoteSession:
    """A graph in a process of its own, with what rules need of an onnxruntime.InferenceSession.

    Args:
        path: the file.
        limits: how long it may take.
    Raises:
        FormatError: if it cannot be loaded, or took too long.
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        self._limits = limits
        self._floor = FLOOR_BYTES + FLOOR_PER_BYTE * (path.stat().st_size if path.is_file() else 0)
        self._process = graph_processes().borrow()
        self._process.num_sessions += 1
        self._number, self._stopped = self._process.num_sessions, ""
        order = {"do": "open", "path": os.path.abspath(path), "threads": 1, "session": self._number}  # noqa: PTH100
        try:
            described, _ = self._process.ask(
                order, {}, limits.load_seconds, f"loading {path.name}", least_bytes=self._floor
            )
        except BaseException:
            graph_processes().give_back(self._process)
            raise
        self._values = {key: [_Value(*value) for value in described[key]] for key in ("inputs", "outputs", "optional")}
        self._meta = SimpleNamespace(custom_metadata_map=described["texts"], producer_name=described["producer"])
        self._finalizer = weakref.finalize(self, _release, self._process, self._number)

    def get_inputs(self) -> list["_Value"]:
        """Return what must be given."""
        return self._values["inputs"]

    def get_outputs(self) -> list["_Value"]:
        """Return what comes back."""
        return self._values["outputs"]

    def get_overridable_initializers(self) -> list["_Value"]:
        """Return what may be given."""
        return self._values["optional"]

    def get_modelmeta(self) -> SimpleNamespace:
        """Return `custom_metadata_map` and `producer_name`."""
        return self._meta

    def run(self, names: Sequence[str] | None, feed: Mapping[str, np.ndarray]) -> list[Any]:
        """Return the outputs of these names, all without names; None stands for one that is no array of numbers.

        Raises:
            GraphStoppedError: if it took too long or too much, now or before.
            Exception: what onnxruntime raised.
        """
        arrays = {name: np.asarray(value) for name, value in feed.items()}
        samples = max((array.size for array in arrays.values()), default=0)
        order = {"do": "run", "outputs": None if names is None else list(names)}
        reply, made = self._asked(order, arrays, samples, samples)
        return [made.get(str(place)) for place in range(reply["count"])]

    def run_blocks(
        self, feed: Mapping[str, np.ndarray], block: int, *, inputs: tuple[str, str], outputs: tuple[str, str]
    ) -> BlockAnswer:
        """Run a stream over [1, T] of whole blocks, at least one; its state is kept in the process of the graph.

        Args:
            feed: audio [1, T], the state that the first block is given, and what all blocks are given.
            block: samples of one.
            inputs: names of audio and state.
            outputs: names of audio and state.
        Raises:
            GraphStoppedError: if it took too long or too much, now or before.
            Exception: what onnxruntime raised.
        """
        order = {"do": "blocks", "block": block, "inputs": inputs, "outputs": outputs}
        samples = feed[inputs[0]].size
        reply, made = self._asked(order, dict(feed), samples, max(block, feed[inputs[1]].size))
        return BlockAnswer(made["audio"], made["state"], reply["seconds"], reply["busy"])

    def _asked(self, order: Message, arrays: Arrays, samples: int, at_once: int) -> tuple[Message, Arrays]:
        """Give an order that may take the time of so many samples, and the memory of those that are fed at once."""
        if self._stopped:
            raise GraphStoppedError(f"not run again: {self._stopped}")
        seconds = self._limits.run_seconds + self._limits.per_second * samples / USUAL_RATE
        least = self._floor + FLOOR_PER_SAMPLE * at_once
        try:
            return self._process.ask({**order, "session": self._number}, arrays, seconds, "a run", least_bytes=least)
        except GraphStoppedError as error:
            self._stopped = str(error)
            raise

    def resident_bytes(self) -> int:
        """Return the resident memory of its process now."""
        return self._process.resident_bytes()

    def processor_seconds(self) -> float:
        """Return how much time of a processor its process has taken so far."""
        return self._process.processor_seconds()

    def close(self) -> None:
        """Let the process go."""
        self._finalizer()


@dataclass(frozen=True)
class _Value:
    """An input or output: name, element type and axes, as onnxruntime spells them."""

    name: str
    type: str
    shape: list[int | str | None]


def _release(process: GraphProcess, session: int) -> None:
    if process.is_alive:
        try:
            process.ask({"do": "close", "session": session}, {}, START_SECONDS, "closing")
        except FormatError:  # it died; nothing is lost
            return
    graph_processes().give_back(process)
