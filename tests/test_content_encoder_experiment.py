"""python train.py experiment=content_encoder: one command that prepares, trains, continues and writes weights."""

from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig

from tests.test_content_encoder_recipe import SIZES, made_up_features
from train import main
from utils.config import compose
from utils.distillation import experiment
from utils.distillation.distil import parse
from utils.distillation.experiment import train_content_encoder
from utils.distillation.teacher import Features, save_features
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


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("folder", "nowhere", "content_encoder.corpora.en.folder=nowhere is not a folder; docs/content_encoder.md"),
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
