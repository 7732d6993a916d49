"""Ways to feed a graph, and the sounds that a voice is judged by."""

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.random import default_rng

from benchmarks.feeding import WHOLE, block_samples, convert_blocks, feeds_of
from benchmarks.judged_clips import ClipMaker
from benchmarks.judged_sounds import BURST_HIGH, disturbances, laughed, sung, whispered
from benchmarks.known_pitch import Sound, Voice
from benchmarks.melody import cents_from, share_near
from benchmarks.voice_judge import cell
from utils.audio.io import save_audio
from utils.verification.signals import speech_like

RATE = 16000


class Counting:
    """A voice that gives back what it is given, and remembers how much that was."""

    sample_rate = RATE

    def __init__(self) -> None:
        self.lengths: list[int] = []

    def run(self, audio: np.ndarray, controls: Mapping[str, float] | None = None) -> np.ndarray:
        self.lengths.append(len(audio))
        return audio


def ramp(count: int) -> np.ndarray:
    return np.linspace(0.1, 1.0, count, dtype=np.float32)


@pytest.mark.parametrize("length", [1, 1600, 5000])
def test_every_way_gives_back_as_much_as_it_is_given(length: int) -> None:
    audio = speech_like(RATE, length, 3)

    for name, feed in feeds_of(Counting()).items():
        np.testing.assert_array_equal(feed(audio, None), audio, err_msg=name)


def test_blocks_know_what_is_before_them_and_nothing_behind() -> None:
    voice = Counting()

    convert_blocks(voice, ramp(3200), block_ms=100.0, history_ms=500.0)
    convert_blocks(voice, ramp(3200), block_ms=100.0)

    assert voice.lengths == [9600, 9600, 1600, 1600]


def test_names_of_ways_say_their_blocks() -> None:
    assert {name: block_samples(name, RATE) for name in feeds_of(Counting())} == {
        WHOLE: None,
        "100 ms alone": 1600,
        "400 ms alone": 6400,
        "100 ms after 500": 1600,
        "100 ms after 500, 60 ahead": 1600,
    }


def spoken(frames: int = 200) -> Voice:
    """A vowel of a second with a pause of a fifth, as WORLD describes it."""
    f0_hz = np.full(frames, 150.0)
    f0_hz[80:120] = 0.0
    spectrum = np.tile(1e-4 / (1 + np.arange(513) / 20.0) ** 2, (frames, 1))
    return Voice(f0_hz, spectrum, np.where(f0_hz[:, None] > 0, 1e-3, 1.0) * np.ones((frames, 513)))


@pytest.mark.slow
def test_sung_line_has_the_notes_that_it_says_and_a_wrong_one_is_found_out() -> None:
    line = sung(spoken(), 200.0, np.random.default_rng(0))
    voiced = line.f0_hz[line.f0_hz > 0]

    assert voiced.min() > 190 and 300 < voiced.max() < 420
    assert share_near(cents_from(line.audio, RATE, line, 0)) > 0.9
    assert share_near(cents_from(line.audio, RATE, Sound(line.audio, line.f0_hz * 2 ** (50 / 1200)), 0)) < 0.2
    assert share_near(cents_from(np.zeros_like(line.audio), RATE, line, 0)) == 0.0


def test_whispered_line_has_no_pitch() -> None:
    line = whispered(spoken())

    assert not line.f0_hz.any() and np.abs(line.audio).max() > 1e-4


@pytest.mark.slow
def test_bursts_of_laughter_fall_in_pitch_five_times_a_second() -> None:
    line = laughed(spoken(), np.random.default_rng(0))
    voiced = line.f0_hz > 0

    assert np.abs(np.diff(voiced.astype(int))).sum() == 9  # five bursts in a second, the first from its beginning
    assert line.f0_hz.max() == pytest.approx(150 * BURST_HIGH, rel=0.02)
    assert line.f0_hz[voiced].min() < 0.8 * line.f0_hz.max()


def test_a_melody_with_vibrato_is_known_to_a_cent() -> None:
    time = np.arange(2 * RATE) / RATE
    curve = 220.0 * 2 ** (50 / 1200 * np.sin(2 * np.pi * 5.5 * time))
    tone = sum(0.1 / number * np.sin(2 * np.pi * number * np.cumsum(curve) / RATE) for number in range(1, 20))
    line = Sound(np.asarray(tone, np.float32), curve[80::160])

    assert np.median(np.abs(cents_from(line.audio, RATE, line, 0))) < 1.0
    assert np.median(cents_from(line.audio, RATE, Sound(line.audio, line.f0_hz * 0.99), 0)) == pytest.approx(
        17.4, abs=1
    )
    assert share_near(cents_from(np.zeros(0, np.float32), RATE, line, 0)) == 0.0


@pytest.mark.slow
def test_a_recording_without_voice_gives_breath_alone() -> None:
    voice = spoken()

    line = laughed(Voice(np.zeros_like(voice.f0_hz), voice.spectrum, np.ones_like(voice.aperiodicity)), default_rng(0))

    assert not line.f0_hz.any() and np.abs(line.audio).max() > 1e-6


@pytest.mark.slow
def test_notes_are_joined_and_their_pitch_is_found(tmp_path: Path) -> None:
    time = np.arange(RATE) / RATE
    for index, f0_hz in enumerate((220.0, 247.0, 262.0)):
        tone = sum(0.1 / number * np.sin(2 * np.pi * number * f0_hz * time) for number in range(1, 9))
        save_audio(tmp_path / f"{index}.wav", np.asarray(tone), RATE)

    (clip,) = ClipMaker(Namespace(notes=tmp_path, source_count=1), 24000, []).notes()

    assert clip.sung is not None and len(clip.given) == pytest.approx(3.6 * 24000, abs=240)
    assert clip.sung.f0_hz[50] == pytest.approx(220.0, rel=0.01)
    assert clip.can_tell is not None and clip.can_tell.mean() > 0.9
    assert share_near(cents_from(clip.given, 24000, clip.sung, 0), clip.can_tell) == 1.0
    assert share_near(cents_from(clip.given, 24000, clip.sung, 1), clip.can_tell) == 0.0


def test_disturbances_change_the_sound_and_not_its_length() -> None:
    audio = (0.1 * np.random.default_rng(0).standard_normal(RATE)).astype(np.float32)

    for item in disturbances():
        changed = item.change(audio, np.random.default_rng(1))
        assert changed.shape == audio.shape and changed.dtype == np.float32
        assert not np.allclose(changed, audio)


def test_cells_have_a_standard_error_from_three_recordings_on() -> None:
    rows = [{"seam_db": value} for value in (1.0, 2.0, 3.0)]

    value, error = map(float, cell(rows, "seam_db").split(" ± "))
    assert value == 2.0 and abs(error - (2 / 3) ** 0.5 / 3**0.5) < 0.03  # deviation of 1, 2, 3 over the root of three
    assert cell(rows[:2], "seam_db") == "1.500"
    assert cell(rows, "ecapa_converted_to_target") == "-"
