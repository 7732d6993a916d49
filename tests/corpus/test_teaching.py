"""A dataset whose audio a teacher makes: features of the recordings, audio of the teacher, exact and resumable."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tests.tools.corpus_tools import make_job, write_sounds
from utils.audio.synthetic_speech import voice
from utils.corpus import preprocess
from utils.corpus.description import read_description
from utils.corpus.merging import merge_shards, prepare_shard
from utils.corpus.pipeline import prepare_dataset
from utils.corpus.shards import Shard
from utils.corpus.store import CorpusStore
from utils.corpus.teacher import TeacherDescription
from utils.doctor.examine import examine
from utils.errors import ConfigError, DataError

DESCRIPTION = TeacherDescription(
    name="bob", file="bob.onnx", sha256="0" * 64, speaker="bob", speaker_id=None, pitch_shift=12.0,
    target_median_hz=None, licence="CC0", consent="synthetic",
)  # fmt: skip
QUIET = 0.25


class EndedError(KeyboardInterrupt):
    """What a killed run is for its stages."""


@dataclass(frozen=True)
class Inverter:
    """A teacher that turns sound upside down, softer; it notes each conversion and ends the run after `most`."""

    description: TeacherDescription = DESCRIPTION
    calls: list[int] = field(default_factory=list)
    most: int = 1000

    def shift_for(self, audio: np.ndarray, sample_rate: int) -> float:
        return 3.0

    def convert(self, audio: np.ndarray, sample_rate: int, semitones: float) -> np.ndarray:
        if len(self.calls) >= self.most:
            raise EndedError
        self.calls.append(len(audio))
        return -QUIET * audio


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teaching") / "source"
    write_sounds(folder, {f"{name}/{index}.wav": voice(1.0, seed=index) for index, name in enumerate("abcde")})
    return folder


@pytest.fixture(scope="module")
def plain(source: Path) -> CorpusStore:
    prepare_dataset(make_job(source, source.parent / "plain", "dataset.speaker=bob"))
    return CorpusStore.open(source.parent / "plain")


@pytest.fixture(scope="module")
def taught(source: Path) -> Path:
    prepare_dataset(make_job(source, source.parent / "taught"), Inverter())
    return source.parent / "taught"


def content(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in ("report.json", ".lock")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files if "cache" not in path.parts}


def test_features_are_those_of_the_recordings_and_the_audio_is_the_teachers(plain: CorpusStore, taught: Path) -> None:
    store = CorpusStore.open(taught)

    assert store.speakers == ["bob"] and [clip.id for clip in store.clips] == [clip.id for clip in plain.clips]
    for clip, original in zip(store.clips, plain.clips, strict=True):
        for name in ("content", "content_perturbed_0", "loudness_db"):
            assert_array_equal(store.feature(name, clip), plain.feature(name, original))
        # the pitch as the teacher was told it, the level as that of recordings
        assert_allclose(store.feature("f0_hz", clip), 2 * plain.feature("f0_hz", original), rtol=1e-6)
        made, recorded = store.waveform(clip), plain.waveform(original)
        assert np.corrcoef(made, recorded)[0, 1] < -0.9  # it goes through the high-pass, too
        assert np.sqrt(np.mean(made**2)) == pytest.approx(np.sqrt(np.mean(recorded**2)), rel=0.05)


def test_the_dataset_says_whose_voice_it_is(taught: Path) -> None:
    teacher = read_description(taught).teacher

    assert teacher is not None and teacher == replace(DESCRIPTION, recordings=teacher.recordings)
    assert teacher.words in (taught / "report.json").read_text("utf-8") and "CC0" in teacher.words


@pytest.mark.slow
def test_a_run_that_was_killed_converts_what_is_left_and_gives_the_same_dataset(
    source: Path, taught: Path, tmp_path: Path
) -> None:
    job, first, second = make_job(source, tmp_path / "taught"), Inverter(most=2), Inverter()
    with pytest.raises(EndedError):
        prepare_dataset(job, first)

    prepare_dataset(job, second)
    again = Inverter()
    work = prepare_dataset(job, again)["work"]

    assert (len(first.calls), len(second.calls), len(again.calls)) == (2, 3, 0)
    assert work["files_read"] == 0 and not any(work["files_computed"].values())
    assert content(tmp_path / "taught") == content(taught)


@pytest.mark.slow
def test_shards_are_byte_for_byte_the_dataset_of_one_run(source: Path, taught: Path, tmp_path: Path) -> None:
    job = make_job(source, tmp_path / "taught")
    for number in (2, 1):
        prepare_shard(job, Shard(number, 2), Inverter())
    with pytest.raises(DataError, match="other settings"):
        merge_shards(job, 2, Inverter(replace(DESCRIPTION, sha256="1" * 64)))

    merge_shards(job, 2, Inverter())

    assert content(tmp_path / "taught") == content(taught)


@pytest.mark.slow
def test_another_teacher_or_pitch_computes_only_what_it_touches(source: Path, tmp_path: Path) -> None:
    job = make_job(source, tmp_path / "data")
    prepare_dataset(job, Inverter())
    other, automatic = replace(DESCRIPTION, sha256="1" * 64), replace(DESCRIPTION, pitch_shift="auto")

    by_other = prepare_dataset(job, Inverter(other))["work"]
    by_auto = prepare_dataset(job, Inverter(automatic))

    assert (by_other["files_read"], by_other["files_converted"], sum(by_other["files_computed"].values())) == (0, 5, 0)
    assert by_auto["work"]["files_computed"] == {
        **dict.fromkeys(("content", "content_perturbed_0", "content_perturbed_1", "loudness_db"), 0), "f0_hz": 5,
    }  # fmt: skip
    assert {row["pitch_shift"] for row in by_auto["files"]} == {3.0}


def test_a_recording_that_the_teacher_cannot_convert_is_dropped_with_its_reason(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([np.zeros(16000), np.full(16000, np.nan), np.zeros(7)])
    usual = Inverter.convert
    monkeypatch.setattr(
        Inverter, "convert", lambda self, audio, rate, shift: next(answers, usual(self, audio, rate, shift))
    )

    report = prepare_dataset(make_job(source, tmp_path / "data"), Inverter())

    reasons = [item["reason"] for item in report["dropped"]]
    assert len(report["files"]) == 5 and len(reasons) == 3
    assert "silence" in reasons[0] and "not finite" in reasons[1] and "made 7 samples" in reasons[2]


def test_the_doctor_examines_what_the_teacher_made(taught: Path) -> None:
    diagnosis = examine(taught, taught / "gone")

    assert "what the teacher made" in diagnosis.missing[0]
    assert all(file.sound is not None and file.sound.rate == 16000 for file in diagnosis.files)


def test_a_job_with_a_teacher_is_not_done_without_it(source: Path, tmp_path: Path) -> None:
    job = make_job(source, tmp_path / "data", "dataset.teacher=bob.onnx")

    with pytest.raises(ConfigError, match=r"dataset.teacher=bob.onnx: .*open_teacher"):
        preprocess(job)
    assert not (tmp_path / "data").exists()
