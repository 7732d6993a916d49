"""What the benchmarks promise, and what their exit code says when a promise is not kept."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import content_encoder, content_probe, fine_tune, voice_quality
from benchmarks.bars import Bar, all_reached
from benchmarks.content_measures import Figures
from benchmarks.content_peers import Peer
from benchmarks.target_voices import Conversion
from benchmarks.voice_quality import Trained
from utils.audio.io import save_audio
from utils.evaluation.evaluation import Evaluation
from utils.evaluation.evaluators import Evaluators

GOOD: dict[str, float | None] = {
    "resemblyzer_converted_to_target": 0.84,
    "ecapa_converted_to_target": 0.58,
    "whisper_character_error": 0.04,
    "distillmos_converted": 3.8,
}


def test_what_was_not_measured_is_not_reached() -> None:
    assert Bar("at the bound", 1.0, 1.0, True).is_reached and Bar("at the bound", 1.0, 1.0, False).is_reached
    assert Bar("nothing", None, 1.0, True).outcome == "not measured"
    assert Bar("no bound", 1.0, None, True).outcome == "not measured"
    assert not Bar("nan", float("nan"), 1.0, True).is_reached
    assert not Bar("nan", float("nan"), 1.0, False).is_reached
    assert not all_reached([])


def test_a_base_voice_gets_ten_minutes() -> None:
    assert voice_quality.parse([]).minutes == 10


@pytest.mark.parametrize(
    ("change", "missed"),
    [
        ({}, []),
        ({"resemblyzer_converted_to_target": 0.83}, ["resemblyzer converted to target"]),
        ({"ecapa_converted_to_target": 0.57}, ["ecapa converted to target"]),
        ({"whisper_character_error": 0.041}, ["whisper character error"]),
        ({"distillmos_converted": 3.79}, ["distillmos converted"]),
        ({"distillmos_converted": None}, ["distillmos converted"]),
    ],
)
def test_each_figure_of_the_base_voice_can_be_missed(change: dict[str, float | None], missed: list[str]) -> None:
    assert [bar.name for bar in voice_quality.bars(GOOD | change) if not bar.is_reached] == missed


@pytest.mark.parametrize(
    ("similarity", "trained", "code"), [(0.84, True, 0), (0.80, True, 1), (None, True, 1), (0.80, False, 0)]
)
def test_a_voice_trained_here_must_keep_the_promise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, similarity: float | None, trained: bool, code: int
) -> None:
    for name in ("1-a.wav", "2-b.wav"):
        save_audio(tmp_path / name, np.full(160, 0.1, np.float32), 16000)
    voice = tmp_path / "voice.onnx"
    evaluation = Evaluation(GOOD | {"resemblyzer_converted_to_target": similarity}, [])
    monkeypatch.setattr(voice_quality, "evaluators_of", lambda *_, **__: Evaluators())
    monkeypatch.setattr(voice_quality, "train_and_export", lambda *_: Trained(voice, [tmp_path / "1-a.wav"], {}))
    monkeypatch.setattr(voice_quality, "convert", lambda *_: Conversion(tmp_path, {"speed": []}))
    monkeypatch.setattr(voice_quality, "evaluate_delayed", lambda *_, **__: evaluation)

    options = ["--target", str(tmp_path), "--sources", str(tmp_path), "--work", str(tmp_path / "work")]
    found = voice_quality.main([*options, *([] if trained else ["--onnx", str(voice)])])

    written = json.loads((tmp_path / "work/voice_quality.json").read_text(encoding="utf-8"))
    assert found == code
    assert [bar["limit"] for bar in written["bars"]] == [0.84, 0.58, 0.04, 3.8]


def test_bars_tell_reached_missed_and_not_measured() -> None:
    found = voice_quality.bars(
        {"resemblyzer_converted_to_target": 0.85, "whisper_character_error": 0.09, "ecapa_converted_to_target": None}
    )

    outcome = {bar.name: bar.outcome for bar in found}
    assert outcome["resemblyzer converted to target"] == "reached"
    assert outcome["whisper character error"] == "MISSED"
    assert outcome["ecapa converted to target"] == "not measured"


@pytest.mark.parametrize(
    ("short", "missing", "code"),
    [(0.8, {}, 0), (0.6, {}, 1), (0.8, {"ecapa": "pip install --no-deps -r requirements-evaluation.lock"}, 1)],
)
def test_a_base_that_loses_to_training_from_nothing_is_no_success(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    short: float,
    missing: dict[str, str],
    code: int,
) -> None:
    voices = tuple(fine_tune.Voice({"resemblyzer_converted_to_target": value}, [], {}) for value in (short, 0.7))
    monkeypatch.setattr(fine_tune, "evaluators_of", lambda *_, **__: Evaluators(missing=missing))
    monkeypatch.setattr(fine_tune, "train_both", lambda *_: voices)

    found = fine_tune.main([f"--{option}={tmp_path}" for option in ("target", "sources", "work")])

    said = capsys.readouterr().out
    assert found == code
    assert ("NOT better" in said) == (short < 0.7)
    assert ("nothing is proven" in said) == bool(missing)


def encoders(ratio: float | None, leak: float, speed: float, teacher: float | None) -> dict[str, Figures]:
    ours = Figures(ratio, leak, 0.1, 0.02)
    results = {"builtin": ours, "builtin, ONNX": Figures(ratio, leak, 0.1, speed)}
    return results if teacher is None else {**results, "moonshine": Figures(4.0, teacher, 0.1, 0.1)}


@pytest.mark.parametrize(
    ("results", "missed"),
    [
        (encoders(4.0, 0.35, 0.01, 0.3), []),
        (encoders(3.9, 0.35, 0.01, 0.3), ["content ratio"]),
        (encoders(None, 0.35, 0.01, 0.3), ["content ratio"]),
        (encoders(4.0, 0.36, 0.01, 0.3), ["speaker leak against the teacher's"]),
        (encoders(4.0, 0.35, 0.01, None), ["speaker leak against the teacher's"]),
        (encoders(4.0, 0.35, 0.011, 0.3), ["real-time factor as ONNX, one thread"]),
    ],
)
def test_each_bar_of_the_encoder_can_be_missed(results: dict[str, Figures], missed: list[str]) -> None:
    assert [bar.name for bar in content_encoder.bars(results, 4.0) if not bar.is_reached] == missed


@pytest.mark.slow
@pytest.mark.parametrize(("extra", "limit", "code"), [([], 4.0, 1), (["--ratio-bar", "3"], 3.0, 0)])
def test_the_bar_of_other_speech_can_be_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extra: list[str], limit: float, code: int
) -> None:
    for name in ("ann_1", "ann_2", "bob_1", "bob_2"):
        save_audio(tmp_path / f"corpus/{name}.wav", np.sin(np.arange(16000) / 20, dtype=np.float32), 16000)
    measured = iter(encoders(3.5, 0.3, 0.001, 0.3).values())
    peers = {name: Peer(lambda audio: audio[:, None], 100) for name in ("builtin", "builtin, ONNX", "moonshine")}
    monkeypatch.setattr(content_encoder, "load_encoders", lambda _: peers)
    monkeypatch.setattr(content_encoder, "measure", lambda *_: next(measured))

    report = tmp_path / "figures.json"
    found = content_encoder.main(["--corpus", str(tmp_path / "corpus"), "--json", str(report), *extra])

    bars: list[dict[str, Any]] = json.loads(report.read_text(encoding="utf-8"))["bars"]
    assert found == code
    assert bars[0]["limit"] == limit


def test_the_probe_compares_english_with_the_teacher() -> None:
    assert [bar.outcome for bar in content_probe.bars({"en": {"builtin": 0.3, "moonshine": 0.25}})] == ["reached"]
    assert [bar.outcome for bar in content_probe.bars({"en": {"builtin": 0.31, "moonshine": 0.25}})] == ["MISSED"]
    assert [bar.outcome for bar in content_probe.bars({"English": {"builtin": 0.3}})] == ["not measured"]
    assert content_probe.bars({"Dutch": {"builtin": 0.3, "moonshine": 0.2}}) == []
