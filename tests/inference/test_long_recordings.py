"""Recordings of any length in bounded memory, with the result of shorter ones."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.tools.planted_graphs import RATE, node, write
from utils.audio.io import float_to_int16, load_audio
from utils.audio.synthetic_speech import voice
from utils.inference import figures
from utils.inference.figures import conversion_figures, track_pitch
from utils.inference.measures import PitchMeter, measure_level
from utils.inference.pipeline import FADE_SECONDS, convert, convert_file, piece_bounds, segments
from utils.inference.session import WHOLE_SECONDS, VoiceSession
from utils.inference.source import SPOOL_BYTES, ArraySound, SpooledSound, read_source


@pytest.fixture
def session(tmp_path: Path) -> VoiceSession:
    """Return a graph that answers with three quarters of its input."""
    constants = {"share": np.float32(0.75)}
    return VoiceSession.open(write(tmp_path, node("Mul", "sound", "share"), constants=constants))


def speech(seconds: float) -> np.ndarray:
    return np.tile(voice(5.0, RATE), round(seconds / 5)).astype(np.float32)


def converted_at_once(session: VoiceSession, audio: np.ndarray) -> np.ndarray:
    """Add weighted pieces into one array: slow and plain."""
    output = np.zeros(len(audio), np.float32)
    if len(audio) <= WHOLE_SECONDS * RATE:
        return session.run(audio)
    fade = round(FADE_SECONDS * RATE)
    for start, end in segments(ArraySound(audio), RATE):
        low, high = piece_bounds(start, end, len(audio), RATE)
        middle = np.arange(low, high, dtype=np.float32) + 0.5
        rise = 1 if start == 0 else np.clip((middle - start) / (2 * fade) + 0.5, 0, 1)
        fall = 1 if end == len(audio) else np.clip((end - middle) / (2 * fade) + 0.5, 0, 1)
        output[low:high] += rise * fall * session.run(audio[low:high])
    return output


@pytest.mark.parametrize("seconds", [5.0, 60.0, 70.0, 95.0, 120.0])
def test_blocks_are_what_one_array_would_hold(session: VoiceSession, tmp_path: Path, seconds: float) -> None:
    audio = speech(seconds)
    heard: list[np.ndarray] = []

    length = convert_file(session, ArraySound(audio), tmp_path / "out.wav", {}, heard.append)

    expected = converted_at_once(session, audio)
    np.testing.assert_array_equal(convert(session, audio), expected)
    np.testing.assert_array_equal(np.concatenate(heard), expected)
    written, rate = soundfile.read(tmp_path / "out.wav", dtype="int16")
    np.testing.assert_array_equal(written, float_to_int16(expected))
    assert (length, rate) == (len(audio), RATE)


def test_recording_on_disk_is_read_like_one_in_memory() -> None:
    sound, rng = SpooledSound(), np.random.default_rng(0)
    sound.append(rng.standard_normal(10, dtype=np.float32))
    sound.clear()
    block = rng.standard_normal(SPOOL_BYTES // 12, dtype=np.float32)
    for _ in range(4):  # the last one goes to disk
        sound.append(block)

    assert len(sound) == 4 * len(block)
    np.testing.assert_array_equal(sound.read(len(block) - 2, len(block) + 2), [*block[-2:], *block[:2]])
    np.testing.assert_array_equal(sound.read(3 * len(block), len(sound)), block)
    assert len(sound.read(len(sound), len(sound) - 5)) == 0
    sound.close()


def test_source_is_what_load_audio_gives(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, np.stack([voice(3.0, 44100), voice(3.0, 44100, seed=1)], axis=1), 44100)

    with read_source(path, RATE) as source:
        np.testing.assert_array_equal(source.samples, load_audio(path, RATE))
        assert (source.original_rate, source.original_channels, source.problem) == (44100, 2, None)


@pytest.mark.slow
def test_figures_in_steps_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    source = speech(40.0)
    converted = np.clip(4 * source, -1.1, 1.1)
    sounds, meter = (ArraySound(source), ArraySound(converted)), PitchMeter()

    def measured() -> tuple[dict[str, Any], np.ndarray]:
        pitch = track_pitch(meter, sounds[0], RATE)
        return conversion_figures(meter, sounds[0], pitch, sounds[1], RATE), pitch.f0_hz

    (whole, whole_hz), _ = measured(), monkeypatch.setattr(figures, "WHOLE_SECONDS", 30.0)
    found, found_hz = measured()

    level, change = measure_level(converted), np.sqrt(np.mean((converted - source) ** 2) / np.mean(source**2))
    assert (whole["output_level"], whole["input_level"]) == (asdict(level), asdict(measure_level(source)))
    assert whole["relative_change"] == pytest.approx(change, rel=1e-5)
    assert found["output_level"] == pytest.approx(whole["output_level"], abs=1e-9)
    assert found["input_level"] == pytest.approx(whole["input_level"], abs=1e-9)
    assert found["relative_change"] == pytest.approx(whole["relative_change"], rel=1e-9)
    assert found["pitch"] == pytest.approx(whole["pitch"], abs=0.01)
    np.testing.assert_allclose(found_hz, whole_hz, rtol=0.01)


def test_pieces_of_a_very_long_recording_are_shorter() -> None:
    lengths = [end - start for start, end in segments(ArraySound(np.zeros(301 * RATE, np.float32)), RATE)]

    assert max(lengths) <= 15 * RATE
    assert sum(lengths) == 301 * RATE


def test_pitch_of_a_shorter_recording_is_tracked_in_one_piece() -> None:
    meter, source = PitchMeter(), speech(10.0)

    np.testing.assert_array_equal(track_pitch(meter, ArraySound(source), RATE).f0_hz, meter.track(source, RATE).f0_hz)
