"""test_model.py evaluate=: voices of every kind, two at once, leaks, a sweep; with evaluators of our own."""

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tools.planted_graphs import node, write
from tests.tools.standin_voice import export_standin
from utils.audio.io import save_audio
from utils.audio.synthetic_speech import voice
from utils.config.test_model import EvaluateJob, VoiceTrial
from utils.errors import ConfigError, DataError
from utils.evaluation import voice_report
from utils.evaluation.evaluators import Evaluators
from utils.evaluation.leaks import LeakCheck, at_level, breath, identity_checks, room_noise, sound_checks
from utils.evaluation.voice_report import evaluation_text, run_evaluation
from utils.evaluation.voices import open_voice
from utils.inference import opening
from utils.inference.measures import measure_level
from utils.inference.session import VoiceSession

RATE = 16000


class Spectrum:
    """An "embedding" by the colour of the sound."""

    def embed(self, audio: np.ndarray) -> np.ndarray:
        power = np.abs(np.fft.rfft(audio, 32768)) ** 2
        bands = np.log(power[:16384].reshape(64, -1).mean(axis=1) + 1e-3)
        return bands - bands.mean()


class Letters:
    """Writes one letter for each tenth of a second."""

    def transcribe(self, audio: np.ndarray) -> str:
        return "a" * (len(audio) // 1600)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sources, recordings of the target, two folders of conversions, and the working folder."""
    for index in range(6):
        source = voice(1.0, RATE, f0_hz=110.0 + 10 * index, seed=index)
        save_audio(tmp_path / f"sources/{index}.wav", source, RATE)
        for name, scale in (("good", 1.3), ("poor", 1.02)):
            made = voice(1.0, RATE, f0_hz=110.0 + 10 * index, seed=index, formant_scale=scale)
            save_audio(tmp_path / f"{name}/{index}.wav", made, RATE)
    for index in range(3):
        save_audio(tmp_path / f"target/{index}.wav", voice(1.0, RATE, seed=20 + index, formant_scale=1.3), RATE)
    monkeypatch.chdir(tmp_path)

    def load(names: Sequence[str], **_: object) -> Evaluators:
        return Evaluators({"colour": Spectrum()}, {"letters": Letters()}, {}, {"whisper": "pip install whisper"})

    monkeypatch.setattr(voice_report, "load_evaluators", load)
    return tmp_path


def evaluate(*overrides: str) -> dict[str, Any]:
    job = VoiceTrial.from_overrides(["sources=sources", "target=target", *overrides])
    assert isinstance(job, EvaluateJob)
    return run_evaluation(job, lambda text: None)


def test_a_folder_of_conversions_of_any_program_is_evaluated(folder: Path) -> None:
    content = evaluate("evaluate=good")

    found = content["voices"][0]
    assert content["report"] == "good/evaluation.json"
    assert json.loads((folder / "good/evaluation.json").read_text("utf-8"))["voices"][0]["means"] == found["means"]
    assert found["means"]["colour_converted_to_target"] > found["means"]["colour_source_to_target"]
    low, high = found["intervals"]["colour_converted_to_target"]
    assert low <= found["means"]["colour_converted_to_target"] <= high
    assert Path(found["files"][0]["converted"]) == folder / "good/0.wav"
    text = evaluation_text(content)
    assert "not installed: whisper; type: pip install whisper" in text
    assert "score (closeness - errors)" in text


@pytest.mark.slow
def test_two_voices_stand_side_by_side_with_the_difference(folder: Path) -> None:
    content = evaluate("evaluate=good", "against=poor")

    difference = content["differences"]["colour_converted_to_target"]
    assert difference["is_real"] and difference["mean"] > 0
    assert not content["differences"]["letters_character_error"]["is_real"]
    assert "more than noise" in evaluation_text(content)


def test_a_graph_is_run_and_its_leaks_are_tried(folder: Path) -> None:
    export_standin(folder).path.rename(folder / "voice.onnx")

    content = evaluate("evaluate=voice.onnx", "most_sources=3")

    found = content["voices"][0]
    assert len(found["files"]) == 3 and (folder / "evaluated/voice/0.wav").is_file()
    names = [row["name"] for row in found["leaks"]]
    assert names[1:] == [
        "silence stays silent", "room noise does not become words", "breath does not become words",
        "the target's own recordings stay near",
    ]  # fmt: skip
    assert found["leaks"][1]["outcome"] == "good"


def test_a_voice_that_gives_the_input_back_leaks_the_source(folder: Path) -> None:
    pairs = [(path, path) for path in sorted((folder / "sources").glob("*.wav"))]

    class Names:
        def embed(self, audio: np.ndarray) -> np.ndarray:
            return np.eye(8)[round(float(np.abs(audio).sum())) % 8]

    found = identity_checks(Evaluators({"names": Names()}), pairs)

    assert found[0].outcome in ("bad", "none")
    assert identity_checks(Evaluators(), pairs)[0].outcome == "none"
    assert identity_checks(Evaluators({"one": Spectrum()}), pairs[:2])[0].outcome == "none"


def test_a_voice_that_makes_noise_louder_is_found(tmp_path: Path) -> None:
    loud = write(tmp_path, node("Mul", "sound", "gain"), constants={"gain": np.array(4.0, np.float32)})

    found = sound_checks(VoiceSession.open(loud), [], {})

    assert [check.outcome for check in found] == ["good", "bad", "bad", "none"]
    assert isinstance(found[0], LeakCheck)


def test_noises_have_their_level_and_are_the_same_each_time() -> None:
    for sound in (room_noise(RATE), breath(RATE)):
        assert measure_level(at_level(sound, -40.0)).rms_db == pytest.approx(-40.0, abs=0.1)
    assert np.array_equal(room_noise(RATE), room_noise(RATE))


@pytest.mark.slow
def test_a_sweep_tries_settings_and_recommends_in_one_line(folder: Path) -> None:
    export_standin(folder).path.rename(folder / "voice.onnx")

    content = evaluate("evaluate=voice.onnx", "most_sources=3", "sweep=true", "leaks=false")

    tried = [row["setting"] for row in content["sweep"]["tried"]]
    assert tried[0] == "the voice's own settings" and "index_rate=0.3" in " ".join(tried)
    assert content["sweep"]["recommendation"].startswith("recommended: ")
    assert "\n" not in content["sweep"]["recommendation"]


def test_a_run_is_exported_first_and_what_the_exporter_says_is_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    (tmp_path / "run/config.yaml").write_text("{}")
    asked: list[list[str]] = []

    def fail(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        return subprocess.CompletedProcess(command, 2, "", "note\nerror: no checkpoint there\n")

    monkeypatch.setattr(opening.subprocess, "run", fail)

    with pytest.raises(ConfigError, match="cannot be exported: no checkpoint there"):
        open_voice(tmp_path / "run", tmp_path / "work")
    assert f"run={tmp_path / 'run'}" in asked[0] and f"export.root={tmp_path / 'work'}" in asked[0]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["evaluate=nowhere"], "evaluate=nowhere does not exist; give a run"),
        (["evaluate=empty"], "holds neither a voice nor recordings"),
        (["evaluate=text.txt"], "text.txt is no voice"),
        (["evaluate=good", "sweep=true"], "which no setting changes"),
        (["evaluate=good", "index_rate=0.5"], "which no setting changes"),
        (["evaluate=good", "onnx=a.onnx"], "leave onnx=, audio= and verify= out"),
        (["evaluate=good", "against=poor", "sweep=true"], "leave against= out"),
        (["evaluate=good", "speaker=anna"], "must be a number with evaluate="),
        (["evaluate=good", "threads=2"], "threads does nothing with evaluate="),
        (["onnx=a.onnx"], "sources does nothing with onnx="),
    ],
)
def test_what_is_wrong_is_one_line(overrides: list[str], words: str, folder: Path) -> None:
    (folder / "empty").mkdir()
    (folder / "text.txt").write_text("no voice")

    with pytest.raises(ConfigError, match=re.escape(words)):
        evaluate(*overrides)


def test_what_is_missing_is_named(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"target is missing"):
        run_evaluation(EvaluateJob.from_overrides(["evaluate=good", "sources=sources"]), lambda text: None)
    shutil.rmtree(folder / "target")
    (folder / "target").mkdir()
    with pytest.raises(DataError, match="no recordings in target"):
        evaluate("evaluate=good")
