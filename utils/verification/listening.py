"""What is heard in speech, frame by frame of 10 ms: level, timbre and its change, pitch; and how two speeches agree."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import soxr

RATE = 16000
HOP = 160
LEVEL_WINDOW = 400
TIMBRE_WINDOW = 512
NUM_BANDS = 24
LOWEST_BAND_HZ, HIGHEST_BAND_HZ = 120.0, 7600.0
RANGE_DB = 45.0  # of a timbre below its loudest band
CHANGE_FRAMES = 3
PITCH_WINDOW = 640
LONGEST_PERIOD, SHORTEST_PERIOD = 320, 16  # 50 and 1000 Hz
NEARLY = 0.9  # of the best periodicity; the shortest period of so much is the pitch
VOICED = 0.55
FLOOR = 1e-10


@dataclass(frozen=True)
class Heard:
    """Speech as it is heard; arrays have a row for each frame of 10 ms, whose middle is that of the frame.

    Attributes:
        samples: [T].
        sample_rate: of the samples.
    """

    samples: np.ndarray
    sample_rate: int

    @cached_property
    def narrow(self) -> np.ndarray:
        """The samples at 16 kHz."""
        samples = np.nan_to_num(self.samples.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
        if self.sample_rate == RATE:
            return samples
        resampled: np.ndarray = soxr.resample(samples, self.sample_rate, RATE, quality="HQ")
        return resampled

    @property
    def num_frames(self) -> int:
        """F."""
        return round(len(self.samples) * RATE / self.sample_rate) // HOP

    @cached_property
    def level_db(self) -> np.ndarray:
        """RMS [F] under a window of 25 ms."""
        window = np.hanning(LEVEL_WINDOW)
        power = np.square(self._frames(LEVEL_WINDOW)) @ (window / window.sum())
        levels: np.ndarray = 10 * np.log10(power + FLOOR)
        return levels

    @cached_property
    def timbre_db(self) -> np.ndarray:
        """Levels of 24 bands [F, 24], without that of the frame."""
        power = np.square(np.abs(np.fft.rfft(self._frames(TIMBRE_WINDOW) * np.hanning(TIMBRE_WINDOW), axis=1)))
        mel = np.linspace(np.log1p(LOWEST_BAND_HZ / 700.0), np.log1p(HIGHEST_BAND_HZ / 700.0), NUM_BANDS + 2)
        edges, frequencies = 700.0 * np.expm1(mel), np.fft.rfftfreq(TIMBRE_WINDOW, 1 / RATE)
        rising = (frequencies - edges[:-2, None]) / np.diff(edges)[:-1, None]
        falling = (edges[2:, None] - frequencies) / np.diff(edges)[1:, None]
        bands = power @ np.maximum(0.0, np.minimum(rising, falling)).T
        levels = 10 * np.log10(bands + FLOOR)
        levels = np.maximum(levels, levels.max(axis=1, keepdims=True) - RANGE_DB)
        shape: np.ndarray = levels - levels.mean(axis=1, keepdims=True)
        return shape

    @cached_property
    def change_db(self) -> np.ndarray:
        """How fast the timbre changes [F]: its difference over 60 ms."""
        padded = np.pad(self.timbre_db, ((CHANGE_FRAMES, CHANGE_FRAMES), (0, 0)), mode="edge")
        steps = padded[2 * CHANGE_FRAMES :] - padded[: -2 * CHANGE_FRAMES]
        changes: np.ndarray = np.sqrt(np.mean(np.square(steps), axis=1))
        return changes

    @cached_property
    def pitch(self) -> tuple[np.ndarray, np.ndarray]:
        """f0_hz [F] of the shortest period that is nearly the best, and how periodic [F] the frame is then, 0 to 1.

        Normalised cross-correlation, as in the tracker RAPT (1995).
        """
        frames = self._frames(PITCH_WINDOW + LONGEST_PERIOD)
        frames = frames - frames.mean(axis=1, keepdims=True)
        size = 2048
        spectrum = np.fft.rfft(frames, size)
        first = np.fft.rfft(frames[:, :PITCH_WINDOW], size)
        products = np.fft.irfft(np.conj(first) * spectrum, size)[:, : LONGEST_PERIOD + 1]
        sums = np.cumsum(np.pad(np.square(frames), ((0, 0), (1, 0))), axis=1)
        energies = sums[:, PITCH_WINDOW:] - sums[:, : LONGEST_PERIOD + 1]
        likeness = products / np.sqrt(energies * energies[:, :1] + FLOOR**2 + 1e-12 * energies.max(initial=0.0) ** 2)
        middle = likeness[:, SHORTEST_PERIOD:-1]
        is_peak = (middle >= likeness[:, SHORTEST_PERIOD - 1 : -2]) & (middle > likeness[:, SHORTEST_PERIOD + 1 :])
        peaks = np.where(is_peak, middle, 0.0)
        best = peaks.max(axis=1, initial=0.0)
        place = np.argmax(peaks >= NEARLY * best[:, None], axis=1) + SHORTEST_PERIOD
        rows = np.arange(len(frames))
        left, top, right = (likeness[rows, place + step] for step in (-1, 0, 1))
        bend = left - 2 * top + right
        offset = np.where(np.abs(bend) > 1e-9, 0.5 * (left - right) / np.where(np.abs(bend) > 1e-9, bend, 1.0), 0.0)
        return RATE / (place + np.clip(offset, -0.5, 0.5)), best

    def _frames(self, window: int) -> np.ndarray:
        """Return [F, window], each around the middle of its frame."""
        before = (window - HOP) // 2
        padded = np.pad(self.narrow, (before, window + HOP))
        frames: np.ndarray = np.lib.stride_tricks.sliding_window_view(padded, window)[::HOP][: self.num_frames]
        return frames


def shifted(values: np.ndarray, frames: int) -> np.ndarray:
    """Return [F, ...] so many frames later, its ends repeated."""
    places = np.clip(np.arange(len(values)) - frames, 0, len(values) - 1)
    moved: np.ndarray = values[places]
    return moved


def agreement(one: np.ndarray, other: np.ndarray, chosen: np.ndarray) -> float:
    """Return the correlation of two tracks [F] or [F, B] over some frames [F], each band less its mean, or 0."""
    first, second = (values[chosen] - values[chosen].mean(axis=0) for values in (one, other))
    size = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float((first * second).sum()) / size if size > 1e-9 else 0.0
