"""Pitch and formants move by what was asked, and nothing else does."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from utils.audio.psola import shift_voice
from utils.audio.synthetic_speech import voice
from utils.corpus.voice_augmentation import AugmentationSettings, Excerpt, VoiceChange, change_voice
from utils.errors import ConfigError

RATE, HOP = 24000, 240
FORMANTS_HZ = (700.0, 2000.0)


def vowel(f0_hz: float, seconds: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return audio [T] of harmonics under two formants and its f0 [F]."""
    time = np.arange(round(seconds * RATE)) / RATE
    sound = np.zeros(len(time))
    for harmonic in range(1, int(8000 / f0_hz)):
        gain = sum(1 / (1 + ((harmonic * f0_hz - centre) / 150) ** 2) for centre in FORMANTS_HZ)
        sound += gain * np.sin(2 * np.pi * harmonic * f0_hz * time)
    return (0.05 * sound).astype(np.float32), np.full(len(time) // HOP, f0_hz, np.float32)


def fundamental(audio: np.ndarray) -> float:
    """Return the frequency of the highest peak of the autocorrelation between 80 and 400 Hz."""
    power = np.abs(np.fft.rfft(audio, 4 * len(audio))) ** 2
    correlation = np.fft.irfft(power)
    lags = np.arange(RATE // 400, RATE // 80)
    best = lags[np.argmax(correlation[lags])]
    left, centre, right = correlation[best - 1 : best + 2]
    return float(RATE / (best + 0.5 * (left - right) / (left - 2 * centre + right)))


def envelope_peaks(audio: np.ndarray) -> list[float]:
    """Return the frequencies of the two formants: the centres of gravity of the power around them."""
    frequency = np.fft.rfftfreq(len(audio), 1 / RATE)
    power = np.abs(np.fft.rfft(audio * np.hanning(len(audio)))) ** 2
    bands = [(frequency > 350) & (frequency < 1150), (frequency > 1400) & (frequency < 2800)]
    return [float((frequency * power)[band].sum() / power[band].sum()) for band in bands]


@pytest.mark.parametrize("semitones", [-3.0, -1.0, 2.0, 4.0])
def test_pitch_moves_and_formants_stay(semitones: float) -> None:
    audio, f0_hz = vowel(120.0)
    ratio = 2 ** (semitones / 12)

    shifted = shift_voice(audio, f0_hz, sample_rate=RATE, pitch_ratio=ratio)

    assert len(shifted) == len(audio)
    assert fundamental(shifted) == pytest.approx(120 * ratio, rel=0.003)
    assert envelope_peaks(shifted) == pytest.approx(envelope_peaks(audio), rel=0.05)


@pytest.mark.parametrize("ratio", [0.9, 0.97, 1.03, 1.1])
def test_formants_move_and_pitch_stays(ratio: float) -> None:
    audio, f0_hz = vowel(120.0)

    shifted = shift_voice(audio, f0_hz, sample_rate=RATE, formant_ratio=ratio)

    moved = np.array(envelope_peaks(shifted)) / np.array(envelope_peaks(audio))
    assert fundamental(shifted) == pytest.approx(120, rel=0.002)
    assert moved == pytest.approx([ratio, ratio], rel=0.025)


@pytest.mark.parametrize("ratio", [0.45, 0.67, 0.95, 1.1, 1.5, 2.0, 2.24])
def test_level_stays(ratio: float) -> None:
    audio, f0_hz = vowel(120.0)
    audio = audio * np.linspace(1.0, 0.1, len(audio), dtype=np.float32)  # and with it its course

    shifted = shift_voice(audio, f0_hz, sample_rate=RATE, pitch_ratio=ratio, formant_ratio=0.95)

    for part in (slice(0, RATE // 4), slice(RATE // 4, RATE // 2), slice(RATE // 2, RATE)):
        assert 20 * np.log10(shifted[part].std() / audio[part].std()) == pytest.approx(0.0, abs=0.5)


def test_ratios_of_one_give_the_audio_itself() -> None:
    audio, f0_hz = vowel(120.0)

    assert_array_equal(shift_voice(audio, f0_hz, sample_rate=RATE), audio)


def test_nearly_no_change_is_nearly_the_same_sound() -> None:
    audio, f0_hz = vowel(120.0)

    shifted = shift_voice(audio, f0_hz, sample_rate=RATE, formant_ratio=1.0 + 1e-9)

    error = (shifted - audio)[HOP:-HOP]
    assert 20 * np.log10(audio.std() / error.std()) > 40


@pytest.mark.parametrize("f0", [0.0, 60.0, 1000.0])
@pytest.mark.parametrize("frames", [1, 2, 50])
def test_any_pitch_and_length_is_finite_and_as_long(f0: float, frames: int) -> None:
    audio = 0.1 * np.random.default_rng(0).standard_normal(frames * HOP).astype(np.float32)
    f0_hz = np.full(frames, f0, np.float32)

    shifted = shift_voice(audio, f0_hz, sample_rate=RATE, pitch_ratio=1.1, formant_ratio=1.05)

    assert len(shifted) == len(audio) and np.isfinite(shifted).all()
    assert shifted.dtype == np.float32


def excerpt_of(seconds: float = 2.0) -> Excerpt:
    audio = voice(seconds, RATE)
    frames = len(audio) // HOP
    ramp = np.arange(frames, dtype=np.float32)
    content = np.stack([np.cos(ramp / 20), np.sin(ramp / 20)], axis=1) * np.float32(2**0.5)
    return Excerpt(audio, content, np.where(ramp < 20, 0, 100 + ramp).astype(np.float32), ramp - 80)


@pytest.mark.parametrize("speed", [0.95, 1.05])
def test_speed_takes_audio_and_every_feature_along(speed: float) -> None:
    recorded, change = excerpt_of(), VoiceChange(speed=speed)
    frames = change.frames_after(200)

    played = change_voice(recorded, change, sample_rate=RATE, frames=frames)

    middle = slice(40, frames - 10)
    at = (np.arange(frames)[middle] + 0.5) * speed - 0.5
    assert len(played.audio) == frames * HOP
    assert len(played.content) == len(played.f0_hz) == len(played.loudness_db) == frames
    assert played.loudness_db[middle] == pytest.approx(at - 80, abs=1e-3)
    assert played.f0_hz[middle] == pytest.approx((100 + at) * speed, abs=0.6 * speed)
    angle = np.unwrap(np.arctan2(played.content[middle, 1], played.content[middle, 0]))
    assert angle - angle[0] == pytest.approx((at - at[0]) / 20, abs=1e-3)
    assert fundamental(change_of_vowel(speed)) == pytest.approx(120 * speed, rel=0.003)


def change_of_vowel(speed: float) -> np.ndarray:
    audio, f0_hz = vowel(120.0)
    flat = np.zeros((len(f0_hz), 2), np.float32)
    change = VoiceChange(speed=speed)
    frames = change.frames_after(len(f0_hz))
    return change_voice(Excerpt(audio, flat, f0_hz, f0_hz), change, sample_rate=RATE, frames=frames).audio


def test_f0_follows_the_pitch_and_stays_zero_where_unvoiced() -> None:
    recorded = excerpt_of()

    changed = change_voice(recorded, VoiceChange(pitch=1.1), sample_rate=RATE, frames=200)

    assert changed.f0_hz == pytest.approx(1.1 * recorded.f0_hz, rel=1e-5)
    assert not changed.f0_hz[:20].any()
    assert_array_equal(changed.content, recorded.content)


def test_changes_stay_within_their_ranges_and_fill_them() -> None:
    settings = AugmentationSettings(voice_share=0.5, pitch_semitones=2.0, formant_percent=3.0, speed_percent=5.0)
    chances = np.random.default_rng(0).random((2000, 4))

    changes = [settings.change(chance) for chance in chances]

    changed = [change for change in changes if change != VoiceChange()]
    assert len(changed) / 2000 == pytest.approx(0.5, abs=0.04)
    for name, low, high in (("pitch", 2 ** (-1 / 6), 2 ** (1 / 6)), ("formant", 0.97, 1.03), ("speed", 0.95, 1.05)):
        values = [getattr(change, name) for change in changed]
        assert low <= min(values) < low + 0.01 and high - 0.01 < max(values) <= high
    assert settings.slowest == 0.95


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"gain_up_db": -1.0}, "augmentation.gain_up_db=-1 is out of range"),
        ({"noise_share": 1.5}, "augmentation.noise_share=1.5 is out of range; allowed: between 0 and 1"),
        ({"pitch_semitones": 15.0}, "augmentation.pitch_semitones=15 is out of range; allowed: between 0 and 14"),
        ({"voice_share": 0.5}, "augmentation.voice_share=0.5 changes nothing"),
    ],
    ids=str,
)
def test_bad_setting_is_refused(values: dict[str, float], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        AugmentationSettings(**values)

    assert words in str(caught.value)
