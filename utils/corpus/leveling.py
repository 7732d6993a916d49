"""How loud a recording is: ITU-R BS.1770-4 integrated loudness and the one gain of a whole file, block by block."""

import math

import numpy as np
from scipy.signal import sosfilt

ABSOLUTE_GATE_LUFS = -70.0
RELATIVE_GATE_LU = -10.0
STEP_SECONDS = 0.1
STEPS_PER_BLOCK = 4  # 400 ms blocks that overlap by three quarters


class LoudnessMeter:
    """Integrated loudness and peak of a mono signal that arrives in pieces.

    A signal shorter than one block of 400 ms counts as a single block.

    Args:
        sample_rate: samples per second, a multiple of 10.
    """

    def __init__(self, sample_rate: int) -> None:
        self._filter = k_weighting(sample_rate)
        self._state = np.zeros((2, 2))
        self._step = round(sample_rate * STEP_SECONDS)
        self._rest = np.zeros(0)
        self._powers: list[np.ndarray] = []
        self._energy = 0.0
        self._num_samples = 0
        self.peak = 0.0

    def update(self, audio: np.ndarray) -> None:
        """Take the next piece [T] in."""
        if not len(audio):
            return
        self.peak = max(self.peak, float(np.abs(audio).max()))
        weighted, self._state = sosfilt(self._filter, audio, zi=self._state)
        self._energy += float(np.square(weighted).sum())
        self._num_samples += len(audio)
        squares = np.concatenate([self._rest, np.square(weighted)])
        whole = len(squares) - len(squares) % self._step
        self._powers.append(squares[:whole].reshape(-1, self._step).mean(axis=1))
        self._rest = squares[whole:]

    def loudness_lufs(self) -> float:
        """Return the integrated loudness; minus infinity if nothing passes the absolute gate (-70 LUFS)."""
        steps = np.concatenate(self._powers) if self._powers else np.zeros(0)
        if len(steps) >= STEPS_PER_BLOCK:
            blocks = np.convolve(steps, np.full(STEPS_PER_BLOCK, 1 / STEPS_PER_BLOCK), mode="valid")
        else:
            blocks = np.array([self._energy / max(1, self._num_samples)])
        audible = blocks[blocks > _power(ABSOLUTE_GATE_LUFS)]
        if not len(audible):
            return -math.inf
        gated = audible[audible > audible.mean() * 10 ** (RELATIVE_GATE_LU / 10)]
        return -0.691 + 10 * math.log10(float(gated.mean()))


def k_weighting(sample_rate: int) -> np.ndarray:
    """Return the K-weighting filter as second-order sections [2, 6] for any rate.

    BS.1770-4 tabulates 48 kHz only; these are the analogue prototypes behind the table (De Man, "Evaluation of
    Implementations of the EBU R128 Loudness Measurement", 2018) under the bilinear transform.
    """
    shelf_k = math.tan(math.pi * 1681.974450955533 / sample_rate)
    quality, high = 0.7071752369554196, 10 ** (3.999843853973347 / 20)
    middle = high**0.4996667741545416
    scale = 1 + shelf_k / quality + shelf_k**2
    shelf = [
        (high + middle * shelf_k / quality + shelf_k**2) / scale,
        2 * (shelf_k**2 - high) / scale,
        (high - middle * shelf_k / quality + shelf_k**2) / scale,
        1.0,
        2 * (shelf_k**2 - 1) / scale,
        (1 - shelf_k / quality + shelf_k**2) / scale,
    ]
    pass_k = math.tan(math.pi * 38.13547087602444 / sample_rate)
    quality = 0.5003270373238773
    scale = 1 + pass_k / quality + pass_k**2
    highpass = [1.0, -2.0, 1.0, 1.0, 2 * (pass_k**2 - 1) / scale, (1 - pass_k / quality + pass_k**2) / scale]
    return np.array([shelf, highpass])


def file_gain_db(loudness_lufs: float, peak: float, *, target_lufs: float, peak_db: float, max_gain_db: float) -> float:
    """Return the gain that brings a file to the target loudness without letting its peak pass peak_db.

    Args:
        loudness_lufs: integrated loudness of the file.
        peak: its largest absolute sample, above 0; full scale = 1.
        target_lufs: loudness wanted.
        peak_db: highest peak allowed, relative to full scale.
        max_gain_db: never amplify more than this.
    """
    return min(target_lufs - loudness_lufs, peak_db - 20 * math.log10(peak), max_gain_db)


def _power(lufs: float) -> float:
    return float(10 ** ((lufs + 0.691) / 10))
