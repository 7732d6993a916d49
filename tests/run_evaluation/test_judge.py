"""The program that judges states of a run: its fixed sounds, its figures, what it refuses."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.tools.training_tools import make_dataset, training
from utils.audio.io import load_audio, save_audio
from utils.audio.synthetic_speech import voice
from utils.config.fields import validate
from utils.config.train import EvaluationSettings
from utils.corpus.store import CorpusStore
from utils.errors import ConfigError
from utils.evaluation import evaluators
from utils.evaluation.evaluators import Evaluators
from utils.inference.measures import PitchMeter
from utils.run_evaluation import __main__ as program
from utils.run_evaluation.material import Material, open_material
from utils.training.evaluation_folder import FIGURES, EvaluationFolder, JudgedState
from utils.training.fit import train


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data"))


def material_of(datasets: Path, folder: Path, **settings: object) -> Material:
    given = {"mode": "background", "most_sources": 2, "most_held_out": 1, **settings}
    return open_material(folder, CorpusStore.open(datasets / "tiny"), validate(EvaluationSettings, given))


def test_strangers_are_made_of_held_out_sentences_and_stay_the_same(datasets: Path, tmp_path: Path) -> None:
    material = material_of(datasets, tmp_path / "material")
    before = {path: path.read_bytes() for path in material.sounds("strangers")}

    again = material_of(datasets, tmp_path / "material")

    assert again == material and {path: path.read_bytes() for path in again.sounds("strangers")} == before
    rate, meter = material.sample_rate, PitchMeter()
    own = meter.track(load_audio(material.sounds("held_out")[0], rate), rate).median_hz
    strangers = [meter.track(load_audio(path, rate), rate).median_hz for path in material.sounds("strangers")]
    assert own is not None and all(hz is not None and abs(np.log2(hz / own)) > 0.2 for hz in strangers)
    assert np.sign(material.shifts["stranger_0"]) == -np.sign(np.log2((strangers[0] or 1.0) / own))


def test_a_folder_of_ones_own_gives_the_strangers(datasets: Path, tmp_path: Path) -> None:
    for index in range(3):
        save_audio(tmp_path / f"others/{index}.wav", voice(1.0, 16000, f0_hz=120 + index), 16000)
    made = material_of(datasets, tmp_path / "material")

    own = material_of(datasets, tmp_path / "material", sources=str(tmp_path / "others"), seconds=0.5 + 0.5)

    assert own.identity != made.identity
    assert [len(load_audio(path, 16000)) for path in own.sounds("strangers")] == [16000, 16000]


def test_a_speaker_that_is_not_there_is_named(datasets: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"evaluation\.speaker=carl is no speaker; allowed: anna, bert, or a number"):
        material_of(datasets, tmp_path, speaker="carl")

    assert material_of(datasets, tmp_path, speaker="bert").speaker_id == 1


class Colour:
    """An "embedding" by the colour of the sound."""

    def embed(self, audio: np.ndarray) -> np.ndarray:
        power = np.abs(np.fft.rfft(audio, 32768)) ** 2
        return np.log(power[:16384].reshape(64, -1).mean(axis=1) + 1e-3)


@pytest.mark.slow
def test_a_waiting_state_is_judged_and_nothing_of_it_is_lost_when_that_is_interrupted(
    datasets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(names: Sequence[str], **_: object) -> Evaluators:
        return Evaluators({"colour": Colour()}, {}, {}, {"whisper": "pip install whisper"})

    monkeypatch.setattr(evaluators, "load_evaluators", load)
    monkeypatch.setattr(program, "give_way", lambda: None)
    run = train(training(datasets, tmp_path, "run", 1))
    config = (run / "config.yaml").read_text("utf-8")
    (run / "config.yaml").write_text(config.replace("most_sources: 4", "most_sources: 2"), "utf-8")
    folder = EvaluationFolder(run)
    folder.keep(1, run / "checkpoints/last.ckpt")
    (folder.folder / ".making_00000001").mkdir()  # of one that was killed

    assert program.main([str(run)]) == 0

    state = JudgedState.read(folder.found_path(1) / FIGURES)
    assert state is not None and state.missing == {"whisper": "pip install whisper"}
    assert {"score", "colour_converted_to_target", "voicing_agreement", "level_change_db"} <= set(state.figures)
    assert "held_out_colour_converted_to_target" in state.figures
    assert "held_out_colour_converted_to_source" not in state.figures
    assert [sound.name for sound in state.sounds] == ["stranger_0", "stranger_1"]
    assert all((folder.folder / sound.converted).is_file() for sound in state.sounds)
    assert folder.waiting_path(1).is_file() and folder.waiting() == []
    assert json.loads((folder.folder / "material/material.json").read_text("utf-8"))["identity"] == state.material


def test_a_state_that_cannot_be_read_ends_the_program_with_one_line(
    datasets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(program, "give_way", lambda: None)
    (tmp_path / "config.yaml").write_text(
        json.dumps({"evaluation": {"evaluators": []}, "dataset": {"root": str(datasets), "name": "tiny"}}), "utf-8"
    )
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation/waiting_00000002.ckpt").write_bytes(b"no checkpoint")

    assert program.main([str(tmp_path)]) == 2

    assert len(capsys.readouterr().err.splitlines()) == 1
    assert (tmp_path / "evaluation/material/material.json").is_file()
