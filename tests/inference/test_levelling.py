"""Pieces of a soft recording get what they lack to be as loud as all of it; loud ones get nothing."""

import numpy as np
import pytest

from utils.features.content.builtin import LOW_RMS
from utils.inference.levelling import LOW_POWER, SPACE_SECONDS, filling, mean_power
from utils.inference.pipeline import GRID_SECONDS, convert
from utils.inference.session import ControlValues
from utils.inference.source import ArraySound

RATE = 8000
NOISE = np.random.default_rng(0).standard_normal(60 * RATE).astype(np.float32)
SPACE = round(SPACE_SECONDS * RATE)


class ByLevel:
    """A voice whose gain follows from the mean of all that it is given, as that of the content encoder."""

    sample_rate = RATE
    whole_seconds = 64.0

    def run(self, audio: np.ndarray, controls: ControlValues | None = None) -> np.ndarray:
        rms = np.sqrt(np.mean(np.square(audio, dtype=np.float64)))
        return (audio * (LOW_RMS / min(max(rms, LOW_RMS / 100), LOW_RMS))).astype(np.float32)


@pytest.mark.parametrize("piece_db", [-36.0, -32.0, -29.0, -27.5])
def test_piece_with_its_filling_is_as_loud_as_the_recording(piece_db: float) -> None:
    piece, power = NOISE[: 20 * RATE] * np.float32(10 ** (piece_db / 20)), 10 ** (-30 / 10)

    filled = filling(piece, power, RATE, most=40 * RATE)

    assert len(filled) % SPACE == 0 and len(filled) > 0
    assert not filled[RATE:].any()
    assert np.mean(np.square(np.concatenate([piece, filled]))) == pytest.approx(power, rel=0.01)


@pytest.mark.parametrize(("piece_db", "power_db", "most"), [(-20.0, -22.0, 99), (-200.0, -30.0, 0), (-30.0, -31.0, 1)])
def test_loud_pieces_and_those_without_room_get_nothing(piece_db: float, power_db: float, most: int) -> None:
    piece = NOISE[: 20 * RATE] * np.float32(10 ** (piece_db / 20))

    assert not len(filling(piece, 10 ** (power_db / 10), RATE, most=most * RATE))


def test_pieces_get_the_gain_of_the_whole_recording() -> None:
    audio = np.concatenate([0.02 * NOISE, 0.008 * NOISE]).astype(np.float32)

    made, expected = convert(ByLevel(), audio), ByLevel().run(audio)

    assert made.shape == expected.shape
    # without filling a tenth and more; the room for it ends at the longest piece
    assert np.sqrt(np.mean((made - expected) ** 2) / np.mean(expected**2)) < 0.02
    assert mean_power(ArraySound(audio), RATE) == pytest.approx(np.mean(np.square(audio)), rel=1e-4)


def test_limits_are_those_of_the_encoder_and_the_grid() -> None:
    assert pytest.approx(LOW_RMS**2) == LOW_POWER
    assert SPACE_SECONDS % GRID_SECONDS == 0
