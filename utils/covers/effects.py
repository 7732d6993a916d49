"""Effects on a voice, by pedalboard, an optional package."""

import importlib.util
from typing import Any

import numpy as np

from utils.config.cover import Effects
from utils.covers.stereo import INSTALL
from utils.errors import ConfigError

PRESENCE_HZ, AIR_HZ, WIDTH = 3000.0, 9000.0, 0.7
ATTACK_MS, RELEASE_MS = 5.0, 120.0
# JUCE's reverb multiplies the voice by 2 and the room by 3
DRY, WET = 1 / 2, 1 / 3


def check_effects(effects: Effects) -> None:
    """Refuse effects whose package is absent, before the work.

    Raises:
        ConfigError: if pedalboard is needed and not installed.
    """
    if has_effect(effects) and importlib.util.find_spec("pedalboard") is None:
        raise ConfigError(f"effects need the package pedalboard; type: {INSTALL}, or leave them out: effects=none")


def has_effect(effects: Effects) -> bool:
    """Whether anything is changed."""
    shares = effects.delay_share or effects.reverb_share or effects.presence_db or effects.air_db
    return bool(shares) or effects.low_cut_hz is not None or effects.compressor_ratio > 1


def with_effects(audio: np.ndarray, sample_rate: int, effects: Effects) -> np.ndarray:
    """Return [T, 2] with effects: equaliser, compressor, echo, room, in this order; as long as it was.

    Raises:
        ConfigError: if pedalboard is needed and not installed.
    """
    check_effects(effects)
    if not has_effect(effects):
        return audio
    import pedalboard

    board = pedalboard.Pedalboard(_chain(pedalboard, effects))
    made: np.ndarray = board(np.ascontiguousarray(audio.T, np.float32), sample_rate).T
    return np.pad(made, ((0, len(audio) - len(made)), (0, 0)))


def _chain(board: Any, effects: Effects) -> list[Any]:
    chain = []
    if effects.low_cut_hz is not None:
        chain.append(board.HighpassFilter(cutoff_frequency_hz=effects.low_cut_hz))
    if effects.presence_db:
        chain.append(board.PeakFilter(cutoff_frequency_hz=PRESENCE_HZ, gain_db=effects.presence_db, q=WIDTH))
    if effects.air_db:
        chain.append(board.HighShelfFilter(cutoff_frequency_hz=AIR_HZ, gain_db=effects.air_db, q=WIDTH))
    if effects.compressor_ratio > 1:
        threshold, ratio = effects.compressor_threshold_db, effects.compressor_ratio
        chain.append(board.Compressor(threshold_db=threshold, ratio=ratio, attack_ms=ATTACK_MS, release_ms=RELEASE_MS))
    if effects.delay_share:
        share = effects.delay_share / (1 + effects.delay_share)  # of both together
        chain.append(board.Delay(delay_seconds=effects.delay_ms / 1000, feedback=effects.delay_feedback, mix=share))
    if effects.reverb_share:
        chain.append(
            board.Reverb(
                room_size=effects.reverb_size, damping=effects.reverb_damping, wet_level=WET * effects.reverb_share,
                dry_level=DRY,
            )
        )  # fmt: skip
    return chain
