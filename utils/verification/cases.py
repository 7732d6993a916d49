"""Inputs in one piece that a graph must answer as the contract says."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from utils.verification.signals import speech_like

SPEECH_SECONDS = 4.0
PAUSE_TAIL_SECONDS = 0.2  # sound may ring so long into a pause


@dataclass(frozen=True, kw_only=True)
class Case:
    """Audio, and what its answer must be beside finite, as long and not too loud.

    Attributes:
        name: what the input is.
        audio: gives [B, T] float32 at a sample rate.
        is_sound: whether the answer must be neither silent nor the input again.
        silent_from: every sample from so many seconds on must be silent; None for no such place.
    """

    name: str
    audio: Callable[[int], np.ndarray]
    is_sound: bool = False
    silent_from: float | None = None


def _constant(value: float, seconds: float | None = None) -> Callable[[int], np.ndarray]:
    """Return what gives [1, T] of one value; without a length a single sample."""
    return lambda rate: np.full((1, 1 if seconds is None else int(seconds * rate)), value, np.float32)


def _speech(rate: int) -> np.ndarray:
    return speech_like(rate, round(SPEECH_SECONDS * rate), 12)


def _three_rows(rate: int) -> np.ndarray:
    speech = _speech(rate)
    return np.stack([speech[:rate], speech[rate : 2 * rate], -speech[:rate]])


def _speech_and_pause(rate: int) -> np.ndarray:
    return np.concatenate([_speech(rate)[:rate], np.zeros(rate, np.float32)])[None]


def _square(rate: int) -> np.ndarray:
    position = np.arange(rate // 4) % max(2, rate // 200)
    return np.where(position < max(1, rate // 400), 1.0, -1.0).astype(np.float32)[None]


def _with_nan(rate: int) -> np.ndarray:
    audio = _speech(rate)[None, -(rate // 4) :].copy()
    audio[0, ::97] = np.nan
    return audio


def _with_infinity(rate: int) -> np.ndarray:
    audio = _speech(rate)[None, -(rate // 4) :].copy()
    audio[0, ::89], audio[0, 1::83] = np.inf, -np.inf
    return audio


CASES = (
    Case(name="1 sample", audio=_constant(0.5)),
    Case(name="whole file", audio=lambda rate: _speech(rate)[None], is_sound=True),
    Case(name="batch of 3", audio=_three_rows, is_sound=True),
    Case(name="silence, 1 sample", audio=_constant(0.0), silent_from=0.0),
    Case(name="silence, 100 ms", audio=_constant(0.0, 0.1), silent_from=0.0),
    Case(name="silence", audio=lambda rate: np.zeros((1, 2 * rate + 1), np.float32), silent_from=0.0),
    Case(name="pause after speech", audio=_speech_and_pause, is_sound=True, silent_from=1.0 + PAUSE_TAIL_SECONDS),
    Case(name="constant (DC)", audio=_constant(0.7, 0.25)),
    Case(name="full-scale square", audio=_square),
    Case(name="NaN in the input", audio=_with_nan),
    Case(name="infinity in the input", audio=_with_infinity),
    Case(name="only NaN", audio=_constant(np.nan, 0.25), silent_from=0.0),
)
