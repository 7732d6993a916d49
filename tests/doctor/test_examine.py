"""The doctor on a prepared dataset, through the job of preprocess.py."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest

from benchmarks.doctor_plants import clipping, planted
from tests.tools.corpus_tools import make_job, write_sounds
from utils.audio.synthetic_speech import voice
from utils.config.preprocess import PreprocessJob, preprocess_job
from utils.corpus.pipeline import prepare_dataset
from utils.corpus.store import CorpusStore
from utils.doctor.diagnosis import Diagnosis, diagnosis_text
from utils.doctor.examine import examine, examine_dataset
from utils.doctor.facts import FileFacts, VoiceFacts
from utils.doctor.rules import Finding, find_in_voice, verdict_of
from utils.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("doctor")
    sounds = {f"anna/{index}.wav": voice(1.2, seed=index, f0_hz=190.0) for index in range(4)}
    sounds["anna/loud (1).wav"] = planted(clipping, voice(1.2, seed=9, f0_hz=190.0), 16000, 0, [])
    write_sounds(root / "source", sounds)
    prepare_dataset(make_job(root / "source", root / "tiny"))
    return root / "tiny"


def test_findings_and_facts_are_written(folder: Path) -> None:
    diagnosis = examine(folder)
    plain = json.loads((folder / "doctor.json").read_text("utf-8"))
    assert "anna/loud (1).wav" in {item["subject"] for item in plain["findings"] if item["rule"] == "clipping"}
    assert {"rule", "subject", "words", "remedy", "leave_out"} == set(plain["findings"][0])
    assert plain["verdicts"] == {"anna": "not enough"}
    assert sum(plain["voices"][0]["f0_histogram"]) == pytest.approx(plain["voices"][0]["voiced_minutes"] * 60, abs=0.02)
    assert len(plain["f0_edges_hz"]) == len(plain["voices"][0]["f0_histogram"]) + 1
    assert diagnosis.voices[0].f0_hz[1] == pytest.approx(190, rel=0.1)


@pytest.mark.slow
def test_the_list_to_leave_out_is_written_and_taken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Diagnosis, "left_out", ["anna/loud (1).wav"])
    text = examine_dataset(make_job(folder.parent / "source", folder))
    exclude = folder / "exclude.txt"
    assert exclude.read_text("utf-8") == "anna/loud (1).wav\n" and f"dataset.exclude={exclude}" in text
    again = make_job(folder.parent / "source", folder.parent / "again").with_values({"dataset.exclude": [str(exclude)]})
    made = prepare_dataset(again)
    assert "left out by dataset.exclude: 1 recordings" in made["notes"]
    assert {clip.source for clip in CorpusStore.open(folder.parent / "again").clips} == {
        f"anna/{index}.wav" for index in range(4)
    }


def test_a_dataset_without_its_recordings_is_examined_as_far_as_it_goes(folder: Path, tmp_path: Path) -> None:
    diagnosis = examine(folder, tmp_path / "gone")
    assert all(file.sound is None for file in diagnosis.files)
    assert "not found below" in diagnosis.missing[0]
    assert diagnosis.voices[0].minutes > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("patterns", "count"), [(["anna/0.wav"], 4), (["*/0.wav"], 4), (["anna/?.wav"], 1), (["anna/loud (1).wav"], 4)]
)
def test_patterns_name_recordings(folder: Path, tmp_path: Path, patterns: list[str], count: int) -> None:
    job = make_job(folder.parent / "source", tmp_path / "x").with_values({"dataset.exclude": patterns})
    assert prepare_dataset(job)["totals"]["files"] == count


def test_a_pattern_that_names_nothing_is_said(folder: Path, tmp_path: Path) -> None:
    job = make_job(folder.parent / "source", tmp_path / "x").with_values({"dataset.exclude": ["anna/17.wav"]})
    assert "dataset.exclude: 'anna/17.wav' names no recording" in prepare_dataset(job)["notes"]


@pytest.mark.parametrize(("value", "words"), [("*", "leaves out every recording"), ("nowhere.txt", "cannot be read")])
def test_a_list_that_cannot_be_used_is_an_error(folder: Path, tmp_path: Path, value: str, words: str) -> None:
    job = make_job(folder.parent / "source", tmp_path / "x").with_values({"dataset.exclude": [value]})
    with pytest.raises(DataError, match=rf"dataset\.exclude.*{words}"):
        prepare_dataset(job)


@pytest.mark.slow
def test_a_copy_in_another_format_is_found(tmp_path: Path) -> None:
    sounds = {f"{index}.wav": voice(3.0, seed=index, f0_hz=190.0) for index in range(4)}
    write_sounds(tmp_path / "source", {**sounds, "again.mp3": sounds["2.wav"]})
    prepare_dataset(make_job(tmp_path / "source", tmp_path / "twice"))
    findings = [item for item in examine(tmp_path / "twice").findings if item.rule == "copy"]
    assert {frozenset((item.subject, item.words.split()[4].strip(","))) for item in findings} == {
        frozenset(("again.mp3", "2.wav"))
    }


@pytest.mark.parametrize("value", ["maybe", "3"])
def test_doctor_is_true_false_or_only(value: str) -> None:
    with pytest.raises(ConfigError, match="doctor"):
        preprocess_job([f"doctor={value}"])


@pytest.mark.parametrize(("minutes", "verdict"), [(0.5, "not enough"), (2.0, "thin"), (7.9, "thin"), (8.0, "enough")])
def test_the_verdict_goes_by_minutes(minutes: float, verdict: str) -> None:
    assert verdict_of(VoiceFacts("a", minutes, minutes / 2, (100.0, 120.0, 200.0), (), 0.0, None)) == verdict


def test_high_voices_and_uneven_loudness_are_told() -> None:
    rules = [item.rule for item in find_in_voice(VoiceFacts("a", 9, 5, (100.0, 300.0, 800.0), (), 9.0, 24000.0))]
    assert rules == ["loudness", "pitch"]


def test_the_screen_shows_ten_lines_at_most() -> None:
    voices = [VoiceFacts(f"v{index}", 9, 5, (100.0, 120.0, 200.0), (), 0.0, 12000.0) for index in range(9)]
    findings = [Finding(f"rule{index % 7}", f"f{index}", "words", "remedy", True) for index in range(70)]
    files = [FileFacts(f"f{index}", "a", 1, 1) for index in range(200)]
    diagnosis = Diagnosis("d", 24000, files, voices, findings, ["one", "two"])
    text = diagnosis_text(diagnosis, Path("x y/doctor.json"), Path("x y/exclude.txt"))
    assert len(text.splitlines()) <= 10 and "'dataset.exclude=x y/exclude.txt'" in text
    assert text.splitlines()[-1] == "doctor: all of it in x y/doctor.json"


@pytest.mark.parametrize("place", ["data/a", "My data (2)/it's [a]", "Žofie, x=1"])
def test_the_hint_can_be_pasted(place: str) -> None:
    path = Path(place) / "exclude.txt"
    findings = [Finding("noise", "f0", "words", "remedy", True)]
    diagnosis = Diagnosis("d", 24000, [FileFacts(f"f{index}", "a", 1, 1) for index in range(4)], [], findings)
    (line,) = [item for item in diagnosis_text(diagnosis, path, path).splitlines() if "the same command" in item]
    typed = shlex.split(line.partition(" with ")[2])
    assert preprocess_job(PreprocessJob.spell(typed)).dataset.exclude == (str(path),)


def test_most_of_a_dataset_is_never_left_out() -> None:
    findings = [Finding("noise", f"f{index}", "words", "remedy", True) for index in range(3)]
    files = [FileFacts(f"f{index}", "a", 1, 1) for index in range(4)]
    assert Diagnosis("d", 24000, files, [], findings).left_out == []


def test_noise_is_no_speech(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    write_sounds(tmp_path / "source", {f"{index}.wav": 0.1 * rng.standard_normal(16000) for index in range(2)})
    prepare_dataset(make_job(tmp_path / "source", tmp_path / "noise"))
    assert "whisper" in {item.rule for item in examine(tmp_path / "noise").findings}
