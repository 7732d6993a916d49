"""Which voices can teach, and one line for those that cannot."""

from pathlib import Path

import numpy as np
import pytest

from preprocess import main
from tests.tools.corpus_tools import make_job, write_sounds
from tests.tools.planted_graphs import with_controls, write
from tests.tools.standin_voice import export_standin
from utils.audio.synthetic_speech import voice
from utils.config.preprocess import PreprocessJob
from utils.corpus.description import read_description
from utils.distillation import open_teacher
from utils.errors import ConfigError, WorkbenchError

NAME = "bob_sr16000_hop160_nfft640.onnx"


@pytest.fixture(scope="module")
def rectifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("teacher"), name=NAME)


@pytest.fixture(scope="module")
def standin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A voice of 8 kHz with two speakers, whose median pitch is known."""
    return export_standin(tmp_path_factory.mktemp("standin")).path


def job_of(folder: Path, teacher: Path, *overrides: str) -> PreprocessJob:
    return make_job(folder / "source", folder / "data", f"dataset.teacher={teacher}", *overrides)


def at_8k(folder: Path, teacher: Path, *overrides: str) -> PreprocessJob:
    small = ("audio.sample_rate=8000", "audio.hop_length=80", "audio.n_fft=320", "audio.f_max=4000")
    return job_of(folder, teacher, *small, *overrides)


def test_a_graph_of_another_program_teaches_with_the_pitch_as_it_is(tmp_path: Path, rectifier: Path) -> None:
    teacher = open_teacher(job_of(tmp_path, rectifier))
    assert teacher is not None
    audio = voice(0.5, 16000)

    made = teacher.convert(audio, 16000, 0.0)

    np.testing.assert_allclose(made, np.abs(audio), atol=1e-6)
    described = teacher.description
    assert (described.speaker, described.pitch_shift, described.licence) == (rectifier.stem, 0.0, "not stated")


def test_a_voice_of_ours_tells_speaker_licence_and_the_pitch_it_is_moved_to(tmp_path: Path, standin: Path) -> None:
    teacher = open_teacher(at_8k(tmp_path, standin, "teacher.speaker=speaker 1", "teacher.index_rate=0.2"))
    assert teacher is not None
    described = teacher.description

    shift = teacher.shift_for(voice(1.0, 8000, f0_hz=100.0), 8000)

    assert (described.speaker, described.speaker_id, described.controls) == ("speaker 1", 1, {"index_rate": 0.2})
    assert (described.pitch_shift, described.target_median_hz, described.licence) == ("auto", 201.0, "CC0")
    assert shift == pytest.approx(12, abs=1)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("teacher.speaker=eve",), r"teacher.speaker='eve' is not in test_sr8000.*speaker 0"),
        (("teacher.pitch_shift=40",), r"pitch_shift=40 is out of range; allowed: between -36 and 36"),
        (("teacher.options=[content=contentvec]",), "exported already"),
    ],
)
def test_what_the_voice_does_not_have_is_one_line(
    tmp_path: Path, standin: Path, overrides: tuple[str, ...], words: str
) -> None:
    with pytest.raises(WorkbenchError, match=f"^dataset.teacher=.*{words}"):
        open_teacher(at_8k(tmp_path, standin, *overrides))


def test_a_rate_below_the_datasets_is_refused_with_one_that_fits(
    tmp_path: Path, standin: Path, rectifier: Path
) -> None:
    with pytest.raises(ConfigError, match=r"8000 Hz, and audio.sample_rate=16000 asks for more; take another teacher"):
        open_teacher(job_of(tmp_path, standin))
    with pytest.raises(ConfigError, match=r"16000 Hz, and audio.sample_rate=48000 asks for more; type audio=16k"):
        open_teacher(job_of(tmp_path, rectifier, "audio=48k"))


def test_an_automatic_pitch_needs_a_median(tmp_path: Path) -> None:
    controlled = with_controls(tmp_path)
    with pytest.raises(ConfigError, match=r"teacher.pitch_shift=auto: it does not tell its median pitch; type teacher"):
        open_teacher(at_8k(tmp_path, controlled))

    teacher = open_teacher(at_8k(tmp_path, controlled, "teacher.pitch_shift=-3"))

    assert teacher is not None and teacher.description.pitch_shift == -3


def test_settings_of_a_teacher_without_one_and_absent_ones_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"teacher.speaker does nothing with the recordings' own audio; leave it out"):
        make_job(tmp_path / "source", tmp_path / "data", "teacher.speaker=bob")
    with pytest.raises(WorkbenchError, match=r"dataset.teacher=.*gone.onnx.* does not exist"):
        open_teacher(job_of(tmp_path, tmp_path / "gone.onnx"))


def test_the_script_makes_the_dataset(tmp_path: Path, rectifier: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sounds(tmp_path / "source", {"anna/0.wav": voice(1.0), "bert/1.wav": voice(1.0, seed=1)})

    main(job_of(tmp_path, rectifier, "doctor=false", "teacher.licence=CC BY 4.0", "dataset.speaker=bob"))

    told = capsys.readouterr().out
    assert "2 converted by the teacher" in told and "its licence: CC BY 4.0" in told
    description = read_description(tmp_path / "data")
    assert description.speaker_names == ["bob"] and description.teacher is not None
