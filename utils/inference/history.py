"""Convert live with a graph for recordings: each block together with the sound around it."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from utils.errors import ConfigError

FADE_MS = 10.0  # two blocks overlap by this
SEARCH_MS = 6.0  # a block may begin this much earlier or later: half a period of 83 Hz, the lower end of most voices
SMALL_ENERGY = 1e-9


class RecordingConverter(Protocol):
    """What converts a recording in one piece; a VoiceSession does."""

    sample_rate: int

    def run(self, audio: np.ndarray, controls: Mapping[str, float] | None = None) -> np.ndarray:
        """Return [T] of audio [T]."""
        ...


class HistoryStream:
    """A live conversion that keeps nothing but the sound itself.

    Each call runs the graph on the history, the block and what is ahead of it. Of the result the block is kept. Where
    it meets the block before, it begins at the place nearby where both sounds agree best, and fades in there: the
    phase of a voice begins anew in each run, so blocks that are only cut would click. (The field knows this as
    overlap-add with a search for the best place, WSOLA: Verhelst and Roelands, ICASSP 1993.)

    Args:
        voice: a graph for recordings, opened with VoiceSession.
        block_ms: length of a block.
        history_ms: sound before the block that the graph is given.
        ahead_ms: sound behind it; the output is late by this.
    Attributes:
        block: samples of a block.
        delay: samples that the output is late.
    Raises:
        ConfigError: if a length is not positive, or less is ahead than two blocks need to meet.
    """

    def __init__(
        self, voice: RecordingConverter, *, block_ms: float = 100.0, history_ms: float = 500.0, ahead_ms: float = 60.0
    ) -> None:
        least = FADE_MS + SEARCH_MS
        if not (block_ms >= least and history_ms >= least and ahead_ms >= least):
            raise ConfigError(
                f"block_ms={block_ms:g} history_ms={history_ms:g} ahead_ms={ahead_ms:g}: each must be {least:g} or "
                "more, since two blocks need this to meet"
            )
        self.voice, self.sample_rate = voice, voice.sample_rate
        self.block, self._history, self.delay = (self._samples(ms) for ms in (block_ms, history_ms, ahead_ms))
        self._fade_length, self._search = self._samples(FADE_MS), self._samples(SEARCH_MS)
        self._fade = np.sin(np.linspace(0.0, np.pi / 2, self._fade_length, dtype=np.float32)) ** 2
        self.reset()

    def _samples(self, milliseconds: float) -> int:
        return round(milliseconds / 1000 * self.sample_rate)

    def reset(self) -> None:
        """Begin a new stream with the next block."""
        self._window = np.zeros(self._history + self.block + self.delay, np.float32)
        self._tail = np.zeros(self._fade_length, np.float32)

    def process(self, block: np.ndarray, controls: Mapping[str, float] | None = None) -> np.ndarray:
        """Return the next [N] for the next [N] of `block` samples, float32, `delay` samples late.

        Raises:
            ConfigError: if the block has another length.
            FormatError: if the graph fails.
        """
        if block.shape != (self.block,):
            raise ConfigError(f"a block has {list(block.shape)} samples; this stream takes [{self.block}]")
        self._window = np.concatenate([self._window[self.block :], np.asarray(block, np.float32)])
        made = self.voice.run(self._window, controls)
        start = self._best_start(made)
        fresh = made[start : start + self.block].copy()
        fresh[: self._fade_length] = self._tail + self._fade * (fresh[: self._fade_length] - self._tail)
        self._tail = made[start + self.block :][: self._fade_length].copy()
        return fresh

    def _best_start(self, made: np.ndarray) -> int:
        """Return where in the graph's output the block begins: like the end of the block before it."""
        if float(self._tail @ self._tail) < SMALL_ENERGY:
            return self._history
        low = self._history - self._search
        near = made[low : self._history + self._search + self._fade_length]
        energy = np.convolve(near**2, np.ones(self._fade_length), "valid") + SMALL_ENERGY
        return low + int(np.argmax(np.correlate(near, self._tail, "valid") / np.sqrt(energy)))

    def convert(self, audio: np.ndarray, controls: Mapping[str, float] | None = None) -> np.ndarray:
        """Return [T], a new stream of [T] float32 without the delay; the end is converted with silence behind it."""
        self.reset()
        missing = -(len(audio) + self.delay) % self.block
        padded = np.pad(np.asarray(audio, np.float32), (0, self.delay + missing))
        blocks = [self.process(part, controls) for part in padded.reshape(-1, self.block)]
        return np.concatenate(blocks)[self.delay : self.delay + len(audio)] if blocks else padded
