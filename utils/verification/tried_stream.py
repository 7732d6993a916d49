"""A streaming graph as rules try it: block after block where the graph runs, each timed there."""

import time
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from utils.verification.graph_process import RemoteSession
from utils.voice_file.controls import control_arrays
from utils.voice_file.signature import AUDIO_INPUT, AUDIO_OUTPUT, NEXT_STATE_OUTPUT, STATE_INPUT
from utils.voice_file.stream import BlockStream


class TimedBlocks(NamedTuple):
    """What came out of some blocks.

    Attributes:
        samples: [T].
        seconds: that each block took.
        busy: seconds of a processor that each block took.
    """

    samples: np.ndarray
    seconds: list[float]
    busy: list[float]


class TriedStream(BlockStream):
    """A BlockStream that hands a graph in another process many blocks at once, which changes no sample."""

    def process_blocks(self, audio: np.ndarray, controls: Mapping[str, float] | None = None) -> np.ndarray:
        """Return the next [T] for the next [T] of whole blocks."""
        return self.process_timed(audio, controls).samples

    def process_timed(self, audio: np.ndarray, controls: Mapping[str, float] | None = None) -> TimedBlocks:
        """Return the next [T] for the next [T] of whole blocks, and what each block took."""
        if isinstance(self._session, RemoteSession) and len(audio):
            feed = {AUDIO_INPUT: audio[None], STATE_INPUT: self.state} | self._defaults
            names = {"inputs": (AUDIO_INPUT, STATE_INPUT), "outputs": (AUDIO_OUTPUT, NEXT_STATE_OUTPUT)}
            answer = self._session.run_blocks(feed | control_arrays(controls or {}), self.facts.block, **names)
            self.state = answer.state
            return TimedBlocks(answer.audio[0], answer.seconds, answer.busy)
        made = [audio[:0]]
        seconds: list[float] = []
        busy: list[float] = []
        for part in audio.reshape(-1, self.facts.block):
            started, worked = time.perf_counter(), time.process_time()
            made.append(self.process(part, controls))
            seconds.append(time.perf_counter() - started)
            busy.append(time.process_time() - worked)
        return TimedBlocks(np.concatenate(made), seconds, busy)
