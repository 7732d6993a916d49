"""Figures of one conversion: levels, change and pitch. Long recordings are measured step by step, in bounded memory."""

import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np

from utils.inference.measures import LevelMeter, Pitch, PitchMeter, compare_pitch
from utils.inference.source import Sound

WHOLE_SECONDS = 180.0  # shorter recordings are measured in one piece
# Both are whole numbers of the tracker's frames of 16 ms, and of samples at all usual rates. The tracker sees 180 ms.
STEP_SECONDS = 12.8
CONTEXT_SECONDS, CONTEXT_FRAMES = 0.32, 20
STEP_FRAMES = 800
SMALLEST_RMS = 1e-6


def track_pitch(meter: PitchMeter, sound: Sound, sample_rate: int) -> Pitch:
    """Track the pitch of a recording."""
    if len(sound) <= WHOLE_SECONDS * sample_rate:
        return meter.track(sound.read(0, len(sound)), sample_rate)
    context, parts = round(CONTEXT_SECONDS * sample_rate), []
    for first, end in _steps(sound, sample_rate):
        seen = meter.track(sound.read(max(0, first - context), min(len(sound), end + context)), sample_rate).f0_hz
        begin = CONTEXT_FRAMES if first else 0
        parts.append(seen[begin:] if end == len(sound) else seen[begin : begin + STEP_FRAMES])
    return Pitch(np.concatenate(parts))


def conversion_figures(
    meter: PitchMeter, source: Sound, source_pitch: Pitch, converted: Sound, sample_rate: int
) -> dict[str, Any]:
    """Return the figures of a conversion as they stand in a report: the levels, the relative change and the pitch.

    The relative change is RMS(converted - source) / RMS(source): 0 if the graph gave the input back, None for different
    lengths.

    Args:
        meter: tracks pitch.
        source: what was converted.
        source_pitch: its pitch.
        converted: the result before clipping.
        sample_rate: of both.
    """
    before, after = _levels(source, sample_rate), _levels(converted, sample_rate)
    return {
        "input_level": asdict(before.level),
        "output_level": asdict(after.level),
        "relative_change": _difference(converted, source, sample_rate) / max(before.rms, SMALLEST_RMS)
        if len(source) == len(converted)
        else None,
        "pitch": asdict(compare_pitch(source_pitch, track_pitch(meter, converted, sample_rate))),
    }


def _levels(sound: Sound, sample_rate: int) -> LevelMeter:
    meter = LevelMeter()
    for first, end in _steps(sound, sample_rate):
        meter.add(sound.read(first, end))
    return meter


def _difference(converted: Sound, source: Sound, sample_rate: int) -> float:
    """Return the root mean square of the difference."""
    meter = LevelMeter()
    for first, end in _steps(source, sample_rate):
        meter.add(converted.read(first, end).astype(np.float64) - source.read(first, end))
    return meter.rms


def _steps(sound: Sound, sample_rate: int) -> Iterator[tuple[int, int]]:
    """Yield (first, end) of the steps of a long recording, or all of a shorter one."""
    is_long = len(sound) > WHOLE_SECONDS * sample_rate
    size = round(STEP_SECONDS * sample_rate) if is_long else max(1, len(sound))
    for number in range(math.ceil(len(sound) / size)):
        yield number * size, min((number + 1) * size, len(sound))
