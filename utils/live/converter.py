"""One way to convert blocks, whatever kind of graph a voice is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from utils.errors import ConfigError
from utils.inference.history import HistoryStream
from utils.inference.session import VoiceSession
from utils.inference.stream import StreamSession
from utils.voice_file.names import is_stream_file


class BlockConverter(Protocol):
    """Converts block after block.

    Attributes:
        block: samples of a block.
        delay: samples that its output is late.
        sample_rate: of both.
    """

    block: int
    delay: int
    sample_rate: int

    def process(self, block: np.ndarray, controls: Mapping[str, float] | None = None) -> np.ndarray:
        """Return the next [block] samples for the next [block]."""
        ...

    def reset(self) -> None:
        """Forget what came before."""
        ...


class StreamConverter:
    """A stream graph in blocks that are a multiple of its own."""

    def __init__(self, stream: StreamSession, block_ms: float) -> None:
        own = stream.facts.block
        self.sample_rate, self.delay = stream.sample_rate, stream.facts.look_ahead
        self.block = max(1, round(block_ms / 1000 * self.sample_rate / own)) * own
        self.process, self.reset = stream.process_blocks, stream.reset


def open_converter(
    voice: Path,
    *,
    block_ms: float,
    history_ms: float,
    ahead_ms: float,
    threads: int,
    controls: Mapping[str, float],
    speaker: str | int | None,
) -> tuple[BlockConverter, dict[str, float]]:
    """Open a voice for live use.

    Returns:
        The converter, and the controls with the number of the speaker.
    Raises:
        FormatError: if the file is no graph from audio to audio.
        ConfigError: if it has no such speaker or control, or a length does not fit.
    """  # fmt: skip
    values = dict(controls)
    if is_stream_file(voice):
        stream = StreamSession.open(voice, threads)
        values |= _speaker_control(speaker, [each.name for each in stream.metadata.speakers])
        return StreamConverter(stream, block_ms), values
    session = VoiceSession.open(voice, threads)
    values |= _speaker_control(speaker, session.speakers)
    session.check_controls(values)
    history = HistoryStream(session, block_ms=block_ms, history_ms=history_ms, ahead_ms=ahead_ms)
    return history, values


def _speaker_control(speaker: str | int | None, names: list[str]) -> dict[str, float]:
    if speaker is None:
        return {}
    if speaker in names:
        return {"speaker_id": float(names.index(str(speaker)))}
    if isinstance(speaker, int) and 0 <= speaker < len(names):
        return {"speaker_id": float(speaker)}
    raise ConfigError(f"speaker={speaker} is not in this voice; it has {', '.join(names) or 'one without a name'}")
