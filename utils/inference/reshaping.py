"""What no graph has a control for: a given pitch contour, and other formants. Both by pitch-synchronous overlap-add."""

from typing import NamedTuple

import numpy as np

from utils.audio.frames import FRAME_RATE, num_frames, pad_to_frames
from utils.audio.psola import shift_voice
from utils.inference.errors import InvalidParameterError
from utils.inference.measures import PitchMeter, limited_shift

WIDEST_RATIO = 2.0  # of a frame: grains that are moved farther sound rough
# the tracker that the levels are measured with has frames of 16 ms
TRACKER_SECONDS = 0.016


class Prepared(NamedTuple):
    """What a graph is given for a wanted pitch: audio [T], and the pitch_shift in semitones on top of it."""

    audio: np.ndarray
    pitch_shift: float


def with_pitch(meter: PitchMeter, audio: np.ndarray, sample_rate: int, wanted_hz: np.ndarray) -> Prepared:
    """Give a recording the pitch that its conversion shall have.

    The graph's own control moves the median; what is left of each frame, an octave at most, is moved beforehand. Frames
    that are unvoiced in the recording stay so.

    Args:
        meter: tracks the pitch.
        audio: [T] float32.
        sample_rate: samples per second.
        wanted_hz: [F] for each 10 ms, 0 where it does not matter.
    Raises:
        InvalidParameterError: if it has another length than the audio.
    """
    hop = sample_rate // FRAME_RATE
    frames = num_frames(len(audio), hop)
    if abs(len(wanted_hz) - frames) > 1:
        raise InvalidParameterError(f"f0_hz has {len(wanted_hz)} values, the audio {frames} frames of 10 ms")
    wanted = np.resize(np.append(wanted_hz, wanted_hz[-1:]), frames) if len(wanted_hz) < frames else wanted_hz[:frames]
    present = pitch_in_frames(meter, audio, sample_rate)
    both = (present > 0) & (wanted > 0)
    if not both.any():
        return Prepared(audio, 0.0)
    ratio = np.ones(frames)
    ratio[both] = wanted[both] / present[both]
    shift = limited_shift(float(12 * np.median(np.log2(ratio[both]))))
    left = np.clip(np.where(both, ratio / 2 ** (shift / 12), 1.0), 1 / WIDEST_RATIO, WIDEST_RATIO)
    padded = pad_to_frames(audio, hop)
    return Prepared(shift_voice(padded, present, sample_rate=sample_rate, pitch_ratio=left)[: len(audio)], shift)


def with_formants(meter: PitchMeter, audio: np.ndarray, sample_rate: int, semitones: float) -> np.ndarray:
    """Move the formants of audio [T] by semitones; pitch and tempo stay."""
    if not semitones or not len(audio):
        return audio
    padded = pad_to_frames(audio, sample_rate // FRAME_RATE)
    present = pitch_in_frames(meter, audio, sample_rate)
    moved = shift_voice(padded, present, sample_rate=sample_rate, formant_ratio=2 ** (semitones / 12))
    return moved[: len(audio)]


def pitch_in_frames(meter: PitchMeter, audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Return f0 in Hz of each 10 ms of audio [T], 0 where unvoiced: that of the tracker's nearest frame."""
    frames = num_frames(len(audio), sample_rate // FRAME_RATE)
    tracked = meter.track(audio, sample_rate).f0_hz
    if not len(tracked):
        return np.zeros(frames)
    nearest = np.round((np.arange(frames) + 0.5) / FRAME_RATE / TRACKER_SECONDS - 0.5).astype(np.int64)
    found: np.ndarray = tracked[np.clip(nearest, 0, len(tracked) - 1)]
    return found
