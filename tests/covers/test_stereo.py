"""Reading, limiting and measuring stereo sound, and effects on it."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from utils.config.cover import Effects, cover_job
from utils.covers import stereo
from utils.covers.effects import check_effects, with_effects
from utils.covers.stereo import as_loud, limited, loudness, loudness_package, read_stereo, together
from utils.errors import ConfigError, DataError

RATE = 16000
NEEDED = 'needs the extra: pip install -e ".[cover]"'


def tone(hertz: float, level: float, seconds: float = 1.0, rate: int = RATE) -> np.ndarray:
    wave = level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    return np.repeat(wave.astype(np.float32)[:, None], 2, axis=1)


@pytest.mark.parametrize(("channels", "left", "right"), [(1, 0.1, 0.1), (2, 0.1, 0.2), (4, 0.25, 0.25)])
def test_any_number_of_channels_becomes_two(tmp_path: Path, channels: int, left: float, right: float) -> None:
    audio = np.tile(np.array([0.1, 0.2, 0.3, 0.4])[:channels], (800, 1))
    soundfile.write(tmp_path / "a.wav", audio, RATE, subtype="FLOAT")

    np.testing.assert_allclose(read_stereo(tmp_path / "a.wav", RATE), np.tile([left, right], (800, 1)), atol=1e-6)


def test_sum_is_as_long_as_the_longest() -> None:
    total = together([tone(100, 0.5, 0.1), tone(100, 0.5, 0.2)])

    np.testing.assert_allclose(total[:1600], tone(100, 1.0, 0.1), atol=1e-6)
    np.testing.assert_array_equal(total[1600:], tone(100, 0.5, 0.2)[1600:])


def test_limiter_holds_the_peaks_and_leaves_the_rest() -> None:
    audio = tone(100, 0.2)
    audio[8000:8010] *= 30
    held = limited(audio, RATE, -6.0)

    assert np.abs(held).max() <= 10 ** (-6 / 20)
    untouched = np.r_[0 : 8000 - 200, 8010 + 200 : RATE]
    np.testing.assert_array_equal(held[untouched], audio[untouched])
    np.testing.assert_array_equal(held[:, 0], held[:, 1])  # the image stays


def test_sound_below_the_limit_is_the_same_sound() -> None:
    audio = tone(100, 0.4)

    assert limited(audio, RATE, -6.0) is audio


def test_loudness_is_reached_although_peaks_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    class Meter:
        def __init__(self, rate: int) -> None: ...

        def integrated_loudness(self, audio: np.ndarray) -> float:
            return float(10 * np.log10(np.square(audio).mean()))

    monkeypatch.setattr(stereo, "loudness_package", lambda: SimpleNamespace(Meter=Meter))
    audio = tone(100, 0.1)
    audio[::4000] = 0.5
    made = as_loud(audio, RATE, -10.0, -3.0)

    assert loudness(made, RATE) == pytest.approx(-10.0, abs=0.06)
    assert np.abs(made).max() <= 10 ** (-3 / 20)
    assert not as_loud(np.zeros((RATE, 2), np.float32), RATE, -10.0, -3.0).any()
    assert loudness(np.zeros((RATE, 2), np.float32), RATE) is None
    with pytest.raises(DataError, match="too short"):
        loudness(audio[:100], RATE)


def test_loudness_is_that_of_the_standard() -> None:
    pytest.importorskip("pyloudnorm", reason=NEEDED)
    audio = tone(997, 1.0, 2.0, 48000)
    audio[:, 1] = 0

    assert loudness(audio, 48000) == pytest.approx(-3.01, abs=0.05)  # ITU-R BS.1770-4, annex 1


def test_absent_packages_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(ConfigError, match=r'needs the package pyloudnorm; type: pip install -e "\.\[cover\]"'):
        loudness_package()
    with pytest.raises(ConfigError, match="need the package pedalboard"):
        check_effects(Effects(reverb_share=0.1))
    check_effects(Effects())


def test_no_effect_leaves_the_sound() -> None:
    audio = tone(100, 0.4)

    assert with_effects(audio, RATE, Effects()) is audio


@pytest.mark.parametrize("option", ["vocal", "hall"])
def test_effects_of_the_options_keep_length_and_timing(option: str) -> None:
    pytest.importorskip("pedalboard", reason=NEEDED)
    chosen = cover_job(["voice=a", "vocals=v", "instrumental=i", f"effects={option}"]).effects
    audio = np.zeros((RATE, 2), np.float32)
    audio[4000:4400] = tone(440, 0.3, 0.025)
    made = with_effects(audio, RATE, chosen)

    assert made.shape == audio.shape and made.dtype == np.float32
    assert not made[:4000].any()
    assert np.abs(made[4000:4400]).max() > 5 * np.abs(made[6000:]).max() > 0  # the voice in front of the room


def test_each_effect_does_what_it_says() -> None:
    pytest.importorskip("pedalboard", reason=NEEDED)

    def level(audio: np.ndarray, changed: Effects) -> float:
        made = with_effects(audio, RATE, changed)[RATE // 2 :]
        return float(20 * np.log10(np.sqrt(np.square(made).mean()) / np.sqrt(np.square(audio[RATE // 2 :]).mean())))

    assert level(tone(40, 0.1), Effects(low_cut_hz=160)) < -6
    assert level(tone(3000, 0.1), Effects(presence_db=6)) == pytest.approx(6, abs=0.5)
    assert level(tone(100, 0.1), Effects(presence_db=6)) == pytest.approx(0, abs=0.5)
    threshold = Effects(compressor_ratio=4, compressor_threshold_db=-20)
    assert level(tone(200, 1.0), threshold) == pytest.approx(-15, abs=3)  # a quarter of 20 dB is left
    assert level(tone(200, 0.01), threshold) == pytest.approx(0, abs=0.5)


def test_echo_comes_when_it_shall() -> None:
    pytest.importorskip("pedalboard", reason=NEEDED)
    click = np.zeros((RATE, 2), np.float32)
    click[100] = 0.5
    made = with_effects(click, RATE, Effects(delay_share=0.5, delay_ms=250, delay_feedback=0.0))

    assert np.flatnonzero(np.abs(made[:, 0]) > 0.01).tolist() == [100, 4100]
    assert made[4100, 0] / made[100, 0] == pytest.approx(0.5, abs=0.02)
