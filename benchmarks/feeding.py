"""Ways in which hosts feed a graph for recordings: all at once, in blocks, in blocks with sound around them."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from utils.inference.history import HistoryStream, RecordingConverter
from utils.inference.session import VoiceSession

WHOLE, HISTORY = "whole recordings", "100 ms after 500, 60 ahead"
Controls = Mapping[str, float]
Feed = Callable[[np.ndarray, Controls | None], np.ndarray]


def feeds_of(voice: RecordingConverter) -> dict[str, Feed]:
    """Return the ways by name; each makes [T] of audio [T]."""
    return {
        WHOLE: voice.run,
        "100 ms alone": partial(convert_blocks, voice, block_ms=100.0),
        "400 ms alone": partial(convert_blocks, voice, block_ms=400.0),
        "100 ms after 500": partial(convert_blocks, voice, block_ms=100.0, history_ms=500.0),
        HISTORY: HistoryStream(voice).convert,
    }


def block_samples(name: str, sample_rate: int) -> int | None:
    """Return the samples of the blocks of a way; None where there are none."""
    return None if name == WHOLE else int(name.partition(" ")[0]) * sample_rate // 1000


def convert_blocks(
    voice: RecordingConverter,
    audio: np.ndarray,
    controls: Controls | None = None,
    *,
    block_ms: float,
    history_ms: float = 0.0,
) -> np.ndarray:
    """Return [T] of audio [T], made of blocks, each with the true sound before it, side by side as they are."""
    block, history = (round(ms / 1000 * voice.sample_rate) for ms in (block_ms, history_ms))
    padded = np.pad(audio, (history, -len(audio) % block))
    starts = range(0, len(padded) - history, block)
    parts = [voice.run(padded[start : start + history + block], controls)[history:] for start in starts]
    return np.concatenate(parts)[: len(audio)] if parts else padded


def median_hz_of(voice: VoiceSession) -> float:
    """Return the middle pitch of a graph's first speaker in Hz; 0 where it is not known."""
    return voice.metadata.speakers[0].f0_median_hz if voice.metadata and voice.metadata.speakers else 0.0
