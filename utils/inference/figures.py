"""Figures of one conversion: levels, change and pitch, in stretches of three minutes so that memory stays bounded."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np

from utils.inference.measures import LevelMeter, Pitch, PitchMeter, compare_pitch
from utils.inference.source import Sound

STRETCH_SECONDS = 180.0  # shorter recordings are measured in one piece
SMALLEST_RMS = 1e-6


def track_pitch(meter: PitchMeter, sound: Sound, sample_rate: int) -> Pitch:
    """Track the pitch of a recording."""
    size = _stretch(sample_rate)
    firsts = range(0, max(1, len(sound)), size)
    parts = [meter.track(sound.read(first, min(first + size, len(sound))), sample_rate).f0_hz for first in firsts]
    return Pitch(np.concatenate(parts))


class ConversionFigures:
    """Measures a conversion while it is made.

    Args:
        meter: tracks pitch.
        source: what is converted, at the rate of the result.
        source_pitch: its pitch, of track_pitch.
        sample_rate: samples per second.
    """

    def __init__(self, meter: PitchMeter, source: Sound, source_pitch: Pitch, sample_rate: int) -> None:
        self._meter, self._rate = meter, sample_rate
        self._source, self._source_pitch = source, source_pitch
        self._waiting: list[np.ndarray] = []
        self._num_waiting = self._position = 0
        self._before, self._after, self._difference = LevelMeter(), LevelMeter(), LevelMeter()
        self._f0_hz: list[np.ndarray] = []

    def add(self, converted: np.ndarray) -> None:
        """Take the next samples of the result in."""
        self._waiting.append(converted)
        self._num_waiting += len(converted)
        size = _stretch(self._rate)
        if self._num_waiting > size:
            together = np.concatenate(self._waiting)
            while len(together) > size:
                self._measure(together[:size])
                together = together[size:]
            self._waiting, self._num_waiting = [together.copy()], len(together)

    def finish(self) -> dict[str, Any]:
        """Return the figures as they stand in a report: the levels, the relative change and the pitch.

        The relative change is RMS(converted - source) / RMS(source): 0 if the graph gave the input back, None for
        different lengths.
        """
        self._measure(np.concatenate(self._waiting or [np.zeros(0, np.float32)]))
        has_same_length = self._position == len(self._source)
        if not has_same_length:
            self._before = LevelMeter()
            for piece in _pieces(self._source, _stretch(self._rate)):
                self._before.add(piece)
        pitch = compare_pitch(self._source_pitch, Pitch(np.concatenate(self._f0_hz)))
        change = self._difference.rms / max(self._before.rms, SMALLEST_RMS)
        return {
            "input_level": asdict(self._before.level),
            "output_level": asdict(self._after.level),
            "relative_change": change if has_same_length else None,
            "pitch": asdict(pitch),
        }

    def _measure(self, converted: np.ndarray) -> None:
        source = self._source.read(self._position, min(self._position + len(converted), len(self._source)))
        self._before.add(source)
        self._after.add(converted)
        if len(source) == len(converted):
            self._difference.add(converted.astype(np.float64) - source)
        self._f0_hz.append(self._meter.track(converted, self._rate).f0_hz)
        self._position += len(converted)


def _pieces(sound: Sound, size: int) -> Iterator[np.ndarray]:
    for first in range(0, len(sound), size):
        yield sound.read(first, min(first + size, len(sound)))


def _stretch(sample_rate: int) -> int:
    return round(STRETCH_SECONDS * sample_rate)
