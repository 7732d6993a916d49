"""The high-pass against rumble and offset: of preprocessing, and the same filter inside an exported graph."""

import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as functional
from scipy.signal import butter, sosfilt
from torch import Tensor, nn

from utils.audio.frames import FRAME_RATE
from utils.audio.reshaping import reshape

ORDER = 4
HEAD_SECONDS = 0.1  # of a recording: their mean counts as what was before it
LONGEST_PIECE = 160  # samples that one product of matrices filters by itself
FORGOTTEN = 2.0**-26  # what is left of a state then is lost in single precision
LONGEST_MEMORY_SECONDS = 10.0


def highpass_sections(cutoff_hz: float, sample_rate: int, *, order: int = ORDER) -> np.ndarray:
    """Return the Butterworth high-pass as second-order sections [S, 6]."""
    sections: np.ndarray = butter(order, cutoff_hz, "highpass", fs=sample_rate, output="sos")
    return sections


class HighPass(nn.Module):
    """The recursive filter as products of matrices: exact, without a loop over samples.

    A piece of N samples is filtered by itself, and what was before it comes in as a state of as many numbers as the
    order: output = piece @ own + state @ left, next state = piece @ entered + state @ step (block recursive
    filtering, Burrus 1972). A state is forgotten after some pieces, so all of them are sums over these: a
    convolution over pieces.

    Args:
        cutoff_hz: half the power; above 0.
        sample_rate: samples per second, a multiple of 100.
        order: of the Butterworth filter.
    """

    def __init__(self, cutoff_hz: float, sample_rate: int, *, order: int = ORDER) -> None:
        super().__init__()
        self.cutoff_hz, self.sample_rate, self.order = cutoff_hz, sample_rate, order
        self.piece = _piece_length(sample_rate // FRAME_RATE)
        self.head = round(HEAD_SECONDS * sample_rate)
        form = _block_form(highpass_sections(cutoff_hz, sample_rate, order=order), self.piece, sample_rate)
        self.num_states = len(form.step)
        self.step = form.step  # in double precision, for other forms
        self.register_buffer("made", _single(np.concatenate([form.own, form.entered], axis=1)), persistent=False)
        self.register_buffer("left", _single(form.left), persistent=False)
        self.register_buffer("memory", _single(_memory_kernel(form.step, form.num_pieces)), persistent=False)
        self.made: Tensor
        self.left: Tensor
        self.memory: Tensor

    @property
    def identity(self) -> dict[str, object]:
        """Plain data that names the filter."""
        return {"id": "butterworth", "order": self.order, "cutoff_hz": self.cutoff_hz}

    def centred(self, audio: Tensor) -> Tensor:
        """Return audio [B, T] without the mean of its first 100 ms; of a shorter one, what is missing counts as zero.

        A filter that begins with zeros behind it takes an offset for a step, and answers with a thump; one that begins
        with the mean behind it does not.
        """
        return audio - audio[:, : self.head].sum(dim=1, keepdim=True) / self.head

    def forward(self, audio: Tensor) -> Tensor:
        """Return audio [B, T] filtered, T a multiple of 10 ms; zeros are before it."""
        own, entered = self.pieces(audio)
        kernel = self.memory
        before = functional.conv1d(functional.pad(entered.transpose(1, 2), (kernel.shape[2] - 1, 0)), kernel)
        return reshape(own + torch.matmul(before.transpose(1, 2), self.left), 0, -1)

    def pieces(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Return pieces of audio [B, P * N] filtered alone, [B, P, N], and what they add to states, [B, P, S]."""
        made = torch.matmul(reshape(audio, 0, -1, self.piece), self.made)
        own, entered = made.split([self.piece, self.num_states], dim=-1)
        return own, entered


class _BlockForm(NamedTuple):
    """own [N, N], entered [N, S], left [S, N] and step [S, S], and after how many pieces a state is forgotten."""

    own: np.ndarray
    entered: np.ndarray
    left: np.ndarray
    step: np.ndarray
    num_pieces: int


def _piece_length(hop_length: int) -> int:
    """Return the largest divisor of a hop that is no longer than LONGEST_PIECE; the hop itself where all are short."""
    divisors = [length for length in range(1, LONGEST_PIECE + 1) if hop_length % length == 0]
    return divisors[-1] if divisors[-1] >= LONGEST_PIECE // 4 else hop_length


def _block_form(sections: np.ndarray, length: int, sample_rate: int) -> _BlockForm:
    """Return the matrices of a filter for pieces of a length.

    The states are chosen so that their answers are orthonormal (output normal form, Mullis and Roberts 1976): rounding
    then weighs the same in all, and none of the entries is large.
    """
    radius = max(float(np.abs(np.roots(section[3:])).max()) for section in sections)
    memory = min(math.log(FORGOTTEN) / math.log(radius), LONGEST_MEMORY_SECONDS * sample_rate)
    num_pieces, num_states = math.ceil(memory / length), 2 * len(sections)
    answers, _ = _filtered(sections, np.zeros((num_states, num_pieces * length)), np.eye(num_states))
    vectors, values, _ = np.linalg.svd(answers, full_matrices=False)
    to_new, to_old = vectors * values, (vectors / values).T
    own, entered = _filtered(sections, np.eye(length), np.zeros((length, num_states)))
    left, step = _filtered(sections, np.zeros((len(to_old), length)), to_old)
    return _BlockForm(own, entered @ to_new, left, step @ to_new, num_pieces)


def _filtered(sections: np.ndarray, rows: np.ndarray, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rows [R, T] filtered from states [R, 2 S] on, and the states after them."""
    before = states.reshape(len(states), -1, 2).transpose(1, 0, 2)
    filtered, after = sosfilt(sections, rows, axis=1, zi=before)
    return filtered, after.transpose(1, 0, 2).reshape(len(states), -1)


def _memory_kernel(step: np.ndarray, num_pieces: int) -> np.ndarray:
    """Return [S, S, num_pieces + 1], the convolution from what pieces add to the states before pieces."""
    power, powers = np.eye(len(step)), [np.zeros_like(step)]  # a piece does not hear itself
    for _ in range(num_pieces):
        powers.append(power)
        power = power @ step
    return np.stack(powers[::-1], axis=2).transpose(1, 0, 2)


def _single(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
