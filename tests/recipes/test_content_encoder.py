"""python train.py experiment=content_encoder: one command that prepares, trains, continues and writes weights."""

from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig

from recipes.content_encoder import experiment
from recipes.content_encoder.distil import parse
from recipes.content_encoder.experiment import prepare_features, train_content_encoder
from recipes.content_encoder.teacher import Features, save_features
from tests.recipes.test_content_encoder_recipe import SIZES, made_up_features
from train import main
from utils.config import compose
from utils.errors import ConfigError
from utils.features.content.builtin import BuiltinContent


@pytest.fixture
def teacher(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Stand in for the teacher, which is a package of its own; return the files that it was asked for."""
    asked: list[Path] = []

    def make(corpora: object, held_out: dict[str, int], path: Path, *, workers: int) -> Features:
        asked.append(path)
        save_features(path, made_up_features())
        return made_up_features()

    monkeypatch.setattr(experiment, "make_features", make)
    return asked


def config(folder: Path, *changed: str) -> DictConfig:
    (folder / "recordings").mkdir(exist_ok=True)
    (folder / "recordings" / "0-0.wav").touch()
    found = compose("train", ["experiment=content_encoder", f"run.root={folder}", "content_encoder.steps=3", *changed])
    found.content_encoder.corpora = {"en": {"folder": str(folder / "recordings"), "share": 1.0, "held_out": 1}}
    return found


def test_one_command_trains_continues_and_writes_usable_weights(
    tmp_path: Path, teacher: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    first = train_content_encoder(config(tmp_path), sizes=SIZES)
    weights = tmp_path / "content_encoder" / "content.safetensors"
    written = weights.read_bytes()

    again = train_content_encoder(config(tmp_path), sizes=SIZES)

    assert first == again
    assert 0 < first < 2
    assert len(teacher) == 1
    assert weights.read_bytes() == written
    assert "is left as it is" in capsys.readouterr().out
    own = BuiltinContent(weights=str(weights))
    with torch.no_grad():
        assert own(torch.zeros(1, 16000)).shape == (1, 100, 8)
    assert own.identity["version"] == "own"


def test_an_encoder_of_ones_own_does_not_take_the_name_of_a_shipped_one() -> None:
    typed = parse(["--features", "features.pt", "--checkpoint", "encoder.ckpt", "--export"]).encoder_version

    assert typed == compose("train", ["experiment=content_encoder"]).content_encoder.version == "own"
    assert not BuiltinContent().version.startswith("own")


def test_other_recordings_need_another_run(tmp_path: Path, teacher: list[Path]) -> None:
    train_content_encoder(config(tmp_path), sizes=SIZES)
    changed = config(tmp_path)
    changed.content_encoder.corpora.en.share = 2.0

    with pytest.raises(ConfigError, match="was begun with other recordings; give another name"):
        train_content_encoder(changed, sizes=SIZES)
    (tmp_path / "recordings" / "1-0.wav").touch()
    with pytest.raises(ConfigError, match="was begun with other recordings; give another name"):
        train_content_encoder(config(tmp_path), sizes=SIZES)


def test_recordings_that_come_before_the_training_are_heard(tmp_path: Path, teacher: list[Path]) -> None:
    """Too little speech ends before the first update; once there is more, the teacher hears it."""
    corpora = {"en": {"folder": str(tmp_path), "share": 1.0, "held_out": 1}}
    (tmp_path / "0-0.wav").touch()
    prepare_features(corpora, tmp_path / "run", workers=1)
    (tmp_path / "1-0.wav").touch()

    for _ in range(2):
        prepare_features(corpora, tmp_path / "run", workers=1)

    assert len(teacher) == 2


def test_a_run_of_a_voice_is_left_alone(tmp_path: Path, teacher: list[Path]) -> None:
    (tmp_path / "alice" / "checkpoints").mkdir(parents=True)
    (tmp_path / "alice" / "config.yaml").write_text("task: voice")

    with pytest.raises(ConfigError, match="alice holds the run of a voice; give another name"):
        train_content_encoder(config(tmp_path, "run.name=alice"), sizes=SIZES)

    assert (tmp_path / "alice" / "config.yaml").read_text() == "task: voice" and not teacher


def test_what_is_refused_leaves_the_record_of_the_run(tmp_path: Path, teacher: list[Path]) -> None:
    train_content_encoder(config(tmp_path), sizes=SIZES)
    before = (tmp_path / "content_encoder" / "config.yaml").read_text()

    with pytest.raises(ConfigError, match="seed is 7, but the checkpoint was begun with"):
        train_content_encoder(config(tmp_path, "seed=7"), sizes=SIZES)

    assert (tmp_path / "content_encoder" / "config.yaml").read_text() == before


def test_jobs_of_a_sweep_have_runs_of_their_own(
    tmp_path: Path, teacher: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for suffix in ("_0_seed-1", "_1_seed-2"):
        monkeypatch.setattr(experiment, "run_suffix", lambda suffix=suffix: suffix)
        train_content_encoder(config(tmp_path, f"seed={suffix[-1]}"), sizes=SIZES)

    assert (
        len(
            {
                (tmp_path / f"content_encoder{suffix}" / "encoder.ckpt").read_bytes()
                for suffix in ("_0_seed-1", "_1_seed-2")
            }
        )
        == 2
    )


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        (
            "folder",
            "nowhere",
            "content_encoder.corpora.en.folder=nowhere is not a folder; docs/guides/content_encoder.md",
        ),
        ("share", 0, "content_encoder.corpora.en.share=0 is out of range"),
        ("held_out", -1, "content_encoder.corpora.en.held_out=-1 is out of range"),
        ("held_out", 0, "without speakers kept apart there is no validation"),
    ],
)
def test_bad_corpus_is_one_line(tmp_path: Path, key: str, value: object, words: str) -> None:
    changed = config(tmp_path)
    changed.content_encoder.corpora.en[key] = value

    with pytest.raises(ConfigError, match=words):
        train_content_encoder(changed)

    assert not (tmp_path / "content_encoder").exists()


@pytest.mark.parametrize("task", ["content_encoder", "voise"])
def test_task_alone_is_refused(task: str) -> None:
    with pytest.raises(ConfigError, match=f"task={task} cannot be chosen by itself; type experiment=content_encoder"):
        main(compose("train", [f"task={task}"]))
