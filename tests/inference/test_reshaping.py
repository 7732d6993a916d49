"""A given pitch contour and other formants."""

from pathlib import Path

import numpy as np
import pytest

from tests.tools.planted_graphs import write
from utils.audio.synthetic_speech import voice
from utils.inference import VoiceConversionPipeline
from utils.inference.errors import InvalidParameterError
from utils.inference.measures import PitchMeter
from utils.inference.reshaping import pitch_in_frames, with_formants, with_pitch

RATE = 16000
METER = PitchMeter()


def centroid(audio: np.ndarray) -> float:
    power = np.abs(np.fft.rfft(audio)) ** 2
    return float((power * np.fft.rfftfreq(len(audio), 1 / RATE)).sum() / power.sum())


def test_recording_gets_the_wanted_pitch_between_audio_and_control() -> None:
    audio = voice(2.0, RATE, f0_hz=120.0)
    wanted = np.linspace(200.0, 280.0, 200)

    given = with_pitch(METER, audio, RATE, wanted)

    found = pitch_in_frames(METER, given.audio, RATE) * 2 ** (given.pitch_shift / 12)
    voiced = pitch_in_frames(METER, audio, RATE) > 0
    assert given.audio.shape == audio.shape
    assert voiced.mean() > 0.5
    assert np.median(np.abs(12 * np.log2(np.maximum(found[voiced], 1) / wanted[voiced]))) < 0.5


def test_pitch_of_silence_is_left() -> None:
    silence = np.zeros(RATE, np.float32)

    given = with_pitch(METER, silence, RATE, np.full(100, 220.0))

    assert given.pitch_shift == 0.0
    np.testing.assert_array_equal(given.audio, silence)


def test_formants_move_and_pitch_stays() -> None:
    audio = voice(2.0, RATE, f0_hz=140.0)

    moved = with_formants(METER, audio, RATE, 4.0)

    assert moved.shape == audio.shape
    assert centroid(moved) > 1.1 * centroid(audio)
    before, after = (METER.track(item, RATE).median_hz or 0.0 for item in (audio, moved))
    assert after == pytest.approx(before, rel=0.03)
    assert with_formants(METER, audio, RATE, 0.0) is audio


def test_pipeline_takes_both(tmp_path: Path) -> None:
    pipeline, audio = VoiceConversionPipeline(write(tmp_path)), voice(0.5, 8000)

    assert not np.array_equal(pipeline.convert(audio, 8000, formant_shift_semitones=3.0), np.abs(audio))
    with pytest.raises(InvalidParameterError, match="f0_hz has 7 values, the audio 50 frames of 10 ms"):
        with_pitch(METER, audio, 8000, np.ones(7))
    with pytest.raises(InvalidParameterError, match="pitch_shift_semitones=auto and f0_hz both say the pitch"):
        pipeline.convert(audio, 8000, f0_hz=np.ones(50), pitch_shift_semitones="auto")
    with pytest.raises(InvalidParameterError, match="formant_shift_semitones=20 is out of range"):
        pipeline.convert(audio, 8000, formant_shift_semitones=20)
    with pytest.raises(InvalidParameterError, match=r"pitch_shift=.* cannot be set"):
        pipeline.convert(audio, 8000, f0_hz=np.full(50, 440.0))
