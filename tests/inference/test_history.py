"""A graph for recordings, live: blocks that are converted together with the sound around them."""

from collections.abc import Mapping

import numpy as np
import pytest

from utils.errors import ConfigError
from utils.inference.history import HistoryStream
from utils.verification.signals import speech_like

RATE = 16000


class Unchanged:
    """A voice that gives back what it is given, and counts its runs."""

    sample_rate = RATE

    def __init__(self) -> None:
        self.lengths: list[int] = []

    def run(self, audio: np.ndarray, controls: Mapping[str, float] | None = None) -> np.ndarray:
        self.lengths.append(len(audio))
        return audio * (controls or {}).get("gain", 1.0)


class PhaseBeginsAnew(Unchanged):
    """A voice that sings 110 Hz, in each run from another phase."""

    def run(self, audio: np.ndarray, controls: Mapping[str, float] | None = None) -> np.ndarray:
        self.lengths.append(len(audio))
        time = np.arange(len(audio)) / RATE
        return np.sin(2 * np.pi * 110 * time + 1.7 * len(self.lengths)).astype(np.float32)


@pytest.mark.parametrize("block_ms", [20.0, 100.0, 330.0])
def test_blocks_of_a_voice_that_changes_nothing_are_the_recording(block_ms: float) -> None:
    audio = speech_like(RATE, 2 * RATE + 77, 3)
    voice = Unchanged()
    stream = HistoryStream(voice, block_ms=block_ms)

    np.testing.assert_array_equal(stream.convert(audio), audio)
    assert set(voice.lengths) == {stream.block + round(0.56 * RATE)}


def test_output_is_late_by_the_delay_and_no_more() -> None:
    stream = HistoryStream(Unchanged(), block_ms=50.0, ahead_ms=30.0)
    click = np.zeros(10 * stream.block, np.float32)
    click[stream.block] = 1.0
    made = np.concatenate([stream.process(part) for part in click.reshape(-1, stream.block)])

    assert np.flatnonzero(made).tolist() == [stream.block + stream.delay]
    assert stream.delay == round(0.03 * RATE)


def test_blocks_whose_phase_begins_anew_meet_without_a_step() -> None:
    stream = HistoryStream(PhaseBeginsAnew())
    made = stream.convert(np.zeros(2 * RATE, np.float32))[stream.block :]
    largest = 2 * np.pi * 110 / RATE  # of a sine that goes on

    assert np.abs(np.diff(made)).max() < 1.15 * largest
    assert np.abs(made).max() > 0.99


def test_controls_reach_the_graph_and_a_new_stream_knows_nothing_of_the_old() -> None:
    stream = HistoryStream(Unchanged())
    audio = speech_like(RATE, RATE, 3)
    first = stream.convert(audio, {"gain": 0.5})

    np.testing.assert_array_equal(first, 0.5 * audio)
    np.testing.assert_array_equal(stream.convert(audio), audio)
    assert len(stream.convert(audio[:0])) == 0


@pytest.mark.parametrize("name", ["block_ms", "history_ms", "ahead_ms"])
def test_lengths_that_let_no_blocks_meet_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}=5"):
        HistoryStream(Unchanged(), **{name: 5.0})


def test_a_block_of_another_length_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"a block has \[7\] samples; this stream takes \[1600\]"):
        HistoryStream(Unchanged()).process(np.zeros(7, np.float32))
