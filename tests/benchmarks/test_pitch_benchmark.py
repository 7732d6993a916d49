"""The benchmark of pitch trackers: its measures by hand, and sound whose pitch is what it says."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks import pitch
from benchmarks.known_pitch import (
    Sound,
    add_noise,
    choose_recordings,
    describe_voice,
    sing,
    speak,
    without_short_runs,
)
from benchmarks.pitch_measures import Figures, Result, compare, difference
from benchmarks.pitch_trackers import load_trackers
from utils.audio.synthetic_speech import voice
from utils.errors import DataError

RATE = 16000


def test_measures_of_eight_frames_by_hand() -> None:
    nan = np.nan
    truth = np.array([100.0, 100.0, 100.0, 100.0, 0.0, 0.0, nan, nan])
    found = np.array([102.0, 104.0, 200.0, 0.0, 0.0, 90.0, 0.0, 77.0])

    figures = compare(found, truth)

    # 102 is 34 cents off, 104 is 68; 200 is gross; one of four is missed; one of two unvoiced frames is voiced
    assert figures == Figures(accuracy=1 / 4, gross_errors=1 / 3, false_voicing=1 / 2, recall=3 / 4)


def test_measures_without_frames_are_unknown() -> None:
    figures = compare(np.zeros(2), np.zeros(2))

    assert figures == Figures(accuracy=None, gross_errors=None, false_voicing=0.0, recall=None)


def figures(accuracy: float = 0.9, gross: float = 0.0, voicing: float = 0.0) -> Figures:
    return Figures(accuracy, gross, voicing, 1.0)


@pytest.mark.parametrize(
    ("clean", "noisy", "speed", "cents", "missed"),
    [
        (figures(), figures(), 0.009, 0.1, []),
        (figures(accuracy=0.79), figures(), 0.009, 0.1, ["accuracy, clean"]),
        (figures(), figures(accuracy=0.76), 0.009, 0.1, ["accuracy, 10 dB noise"]),
        (figures(), figures(gross=0.02), 0.009, 0.1, ["gross errors, worst condition"]),
        (figures(voicing=0.03), figures(), 0.009, 0.1, ["false voicing, worst condition"]),
        (figures(), figures(), 0.011, 0.1, ["real-time factor, one thread"]),
        (figures(), figures(), 0.009, 2.0, ["PyTorch to ONNX, cents"]),
    ],
)
def test_each_bar_can_be_missed(clean: Figures, noisy: Figures, speed: float, cents: float, missed: list[str]) -> None:
    result = Result({"clean": clean, "10 dB noise": noisy}, speed)

    assert [bar.name for bar in pitch.bars(result, cents, 0) if not bar.is_reached] == missed


def test_frames_that_one_runtime_alone_finds_voiced_are_counted() -> None:
    conditions = {"clean": [Sound(np.zeros(320, np.float32), np.zeros(2))]}
    result = Result({"clean": figures(), "10 dB noise": figures()}, 0.009)

    differing = difference(lambda audio: np.array([1.0, 0]), lambda audio: np.array([1.0, 1]), conditions)
    assert differing == (0.0, 1)
    assert [bar.name for bar in pitch.bars(result, *differing) if not bar.is_reached] == [
        "PyTorch to ONNX, frames voiced in one alone"
    ]
    assert difference(lambda audio: np.array([2.0, 0]), lambda audio: np.array([1.0, 0]), conditions) == (1200, 0)


def test_short_runs_are_cleared() -> None:
    flags = np.array([1, 1, 0, 1, 1, 1, 0, 0, 1], bool)

    np.testing.assert_array_equal(without_short_runs(flags, 3), np.array([0, 0, 0, 1, 1, 1, 0, 0, 0], bool))


def zero_crossings_hz(audio: np.ndarray) -> float:
    """Frequency of a nearly sinusoidal sound."""
    rising = np.flatnonzero((audio[:-1] < 0) & (audio[1:] >= 0))
    return RATE * (len(rising) - 1) / (rising[-1] - rising[0])


def test_sung_notes_have_the_pitch_that_they_say() -> None:
    sound = sing(0.0, 0)

    assert len(sound.audio) == 160 * len(sound.f0_hz)
    last = np.flatnonzero(sound.f0_hz > 850)
    spectrum = np.abs(np.fft.rfft(sound.audio[last[0] * 160 : last[-1] * 160] * np.hanning((last[-1] - last[0]) * 160)))
    lowest = spectrum[: len(spectrum) // 6].argmax() * RATE / ((last[-1] - last[0]) * 160)
    assert abs(lowest - 900) < 3
    assert np.isnan(sound.f0_hz).any()
    assert (sound.f0_hz == 0).mean() == pytest.approx(0.18, abs=0.01)


def test_vibrato_stays_within_its_depth() -> None:
    truth = sing(50.0, 0).f0_hz

    highest = truth[truth > 0].max()
    assert 1200 * np.log2(highest / 900) == pytest.approx(50, abs=2)


def test_noise_has_its_ratio() -> None:
    sound = sing(0.0, 0)

    noise = add_noise(sound, 10.0, 0).audio - sound.audio

    assert 10 * np.log10(np.mean(sound.audio**2) / np.mean(noise**2)) == pytest.approx(10, abs=0.1)


def write(path: Path, seconds: float = 1.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, voice(seconds), RATE)


def test_vocoder_moves_the_pitch_and_voices_only_the_voice(tmp_path: Path) -> None:
    write(tmp_path / "a.wav")
    samples = np.concatenate([np.zeros(RATE // 2), voice(1.0), np.zeros(RATE // 2)])
    soundfile.write(tmp_path / "a.wav", samples, RATE)

    described = describe_voice(tmp_path / "a.wav", 2.0)
    plain, higher = speak(described), speak(described, 2.0)

    assert len(plain.audio) == 160 * len(plain.f0_hz)
    np.testing.assert_allclose(higher.f0_hz, 2 * plain.f0_hz)
    assert not plain.f0_hz[:45].any()
    assert (plain.f0_hz[60:140] > 0).mean() > 0.8


def test_recordings_come_from_all_folders_and_speakers(tmp_path: Path) -> None:
    for name in ("one/ann_1.wav", "one/ann_2.wav", "one/bob_1.wav", "two/cy-1-1.wav", "two/cy-1-2.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    chosen = choose_recordings(tmp_path, 4, 0)

    speakers = [path.stem.replace("_", "-").partition("-")[0] for path in chosen]
    assert sorted(speakers) == ["ann", "bob", "cy", "cy"]
    assert chosen == choose_recordings(tmp_path, 4, 0)
    assert len(choose_recordings(tmp_path, 9, 0)) == 5


def test_absent_corpus_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent is absent; give a folder of speech with --corpus"):
        pitch.build_conditions(tmp_path / "absent", 1, 1.0)


def test_missing_tracker_is_named_with_its_command(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "torchcrepe", None)

    trackers = load_trackers(["crepe", "dio"])

    assert list(trackers) == ["dio"]
    assert "crepe is left out" in caplog.text
    assert "pip install torchcrepe" in caplog.text


@pytest.mark.parametrize(
    ("tracker", "package", "words"),
    [
        ("builtin", "swift_f0", "pip install swift-f0"),
        ("crepe", "torchcrepe", "none of crepe can be compared here"),
    ],
)
def test_nothing_to_compare_is_no_success(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tracker: str, package: str, words: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)

    code = pitch.main(["--trackers", tracker])

    assert code == 2
    assert words in capsys.readouterr().err


@pytest.mark.slow
def test_whole_run_writes_table_bars_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "corpus" / "ann_1.wav")
    report = tmp_path / "pitch.json"

    code = pitch.main(
        ["--corpus", str(tmp_path / "corpus"), "--clips", "1", "--trackers", "builtin", "--json", str(report)]
    )

    written = json.loads(report.read_text(encoding="utf-8"))
    said = capsys.readouterr().out
    reached = {bar["name"]: bar["is_reached"] for bar in written["bars"]}
    assert set(written["trackers"]) == {"builtin", "builtin, ONNX"}
    assert reached["PyTorch to ONNX, cents"]
    assert code == (0 if all(reached.values()) else 1)
    assert "sung" in said and "at least 0.8" in said
