"""python -m recipes.content_encoder: it trains, continues, writes weights and refuses what it cannot do in one line."""

from functools import partial
from pathlib import Path

import pytest
import torch

from recipes.content_encoder import recipe
from recipes.content_encoder.__main__ import main
from recipes.content_encoder.recipe import make_content_encoder, prepare_features
from recipes.content_encoder.settings import ContentEncoderSettings
from recipes.content_encoder.teacher_features import Features, save_features
from recipes.settings import CorpusSettings, read_settings
from tests.tools.content_encoder_tools import SIZES, made_up_features
from utils.config.train import train_job
from utils.errors import ConfigError
from utils.features.content.builtin import BuiltinContent

FOLDER = Path(recipe.__file__).parent


@pytest.fixture
def teacher(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Stand in for the teacher, which is a package of its own; return the files that it was asked for."""
    asked: list[Path] = []

    def make(corpora: object, held_out: dict[str, int], path: Path, *, workers: int) -> Features:
        asked.append(path)
        save_features(path, made_up_features())
        return made_up_features()

    monkeypatch.setattr(recipe, "make_features", make)
    monkeypatch.setattr(recipe, "export", partial(recipe.export, num_pairs=8))
    return asked


def overrides(folder: Path, *changed: str) -> list[str]:
    """Return the command line of a short run with one recording."""
    (folder / "recordings").mkdir(exist_ok=True)
    (folder / "recordings" / "0-0.wav").touch()
    corpora = f"+corpora={{en: {{folder: '{folder / 'recordings'}', share: 1.0, held_out: 1}}}}"
    return [f"run.root='{folder}'", "steps=3", "~corpora", corpora, *changed]


def settings(folder: Path, *changed: str) -> ContentEncoderSettings:
    return read_settings(ContentEncoderSettings, FOLDER, overrides(folder, *changed))


@pytest.mark.slow
def test_one_command_trains_continues_and_writes_usable_weights(
    tmp_path: Path, teacher: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    first = make_content_encoder(settings(tmp_path), sizes=SIZES)
    weights = tmp_path / "content_encoder" / "content.safetensors"
    written = weights.read_bytes()

    again = make_content_encoder(settings(tmp_path), sizes=SIZES)

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
    assert read_settings(ContentEncoderSettings, FOLDER, []).version == "own"
    assert not BuiltinContent().version.startswith("own")


@pytest.mark.slow
def test_other_recordings_need_another_run(tmp_path: Path, teacher: list[Path]) -> None:
    make_content_encoder(settings(tmp_path), sizes=SIZES)

    with pytest.raises(ConfigError, match="was begun with other recordings; give another name"):
        make_content_encoder(settings(tmp_path, "corpora.en.share=2.0"), sizes=SIZES)
    (tmp_path / "recordings" / "1-0.wav").touch()
    with pytest.raises(ConfigError, match="was begun with other recordings; give another name"):
        make_content_encoder(settings(tmp_path), sizes=SIZES)


def test_recordings_that_come_before_the_training_are_used(tmp_path: Path, teacher: list[Path]) -> None:
    """Too little speech ends before the first update; once there is more, its features are computed."""
    corpora = {"en": CorpusSettings(folder=tmp_path, share=1.0, held_out=1)}
    (tmp_path / "0-0.wav").touch()
    prepare_features(corpora, tmp_path / "run", workers=1)
    (tmp_path / "1-0.wav").touch()

    for _ in range(2):
        prepare_features(corpora, tmp_path / "run", workers=1)

    assert len(teacher) == 2


@pytest.mark.slow
def test_a_run_of_a_voice_is_left_alone(tmp_path: Path, teacher: list[Path]) -> None:
    (tmp_path / "alice" / "checkpoints").mkdir(parents=True)
    (tmp_path / "alice" / "config.yaml").write_text("task: voice")

    with pytest.raises(ConfigError, match="alice holds the run of a voice; give another name"):
        make_content_encoder(settings(tmp_path, "run.name=alice"), sizes=SIZES)

    assert (tmp_path / "alice" / "config.yaml").read_text() == "task: voice" and not teacher


@pytest.mark.slow
def test_what_is_refused_leaves_the_record_of_the_run(tmp_path: Path, teacher: list[Path]) -> None:
    make_content_encoder(settings(tmp_path), sizes=SIZES)
    before = (tmp_path / "content_encoder" / "config.yaml").read_text()

    with pytest.raises(ConfigError, match="seed is 7, but the checkpoint was begun with"):
        make_content_encoder(settings(tmp_path, "seed=7"), sizes=SIZES)

    assert (tmp_path / "content_encoder" / "config.yaml").read_text() == before


@pytest.mark.slow
def test_runs_of_other_names_have_folders_of_their_own(tmp_path: Path, teacher: list[Path]) -> None:
    for seed in (1, 2):
        make_content_encoder(settings(tmp_path, f"seed={seed}", f"run.name=encoder_{seed}"), sizes=SIZES)

    assert len({(tmp_path / f"encoder_{seed}" / "encoder.ckpt").read_bytes() for seed in (1, 2)}) == 2


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ("corpora.en.folder=nowhere", "corpora.en.folder=nowhere is not a folder; docs/guides/content_encoder.md"),
        ("corpora.en.share=0", "corpora.en.share=0 is out of range"),
        ("corpora.en.held_out=-1", "corpora.en.held_out=-1 is out of range"),
        ("corpora.en.held_out=0", "without speakers kept apart there is no validation"),
        ("+corpora.en.weight=1", "corpora.en.weight"),
        ("~corpora.en", "corpora names no recordings"),
        ("steps=0", "steps=0 is out of range"),
        ("rate=1", "rate=1 is out of range"),
        ("workers=0", "workers=0 is out of range"),
        ("seed=-1", "seed=-1 is out of range"),
        ("step=3", "Could not override 'step'"),
        ("start=absent.safetensors", "start=absent.safetensors is not a file"),
    ],
)
def test_what_is_refused_is_one_line(
    changed: str, words: str, tmp_path: Path, teacher: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(overrides(tmp_path, changed))

    error = capsys.readouterr().err
    assert code == 2 and words in error and error.count("\n") == 1
    assert not (tmp_path / "content_encoder" / "encoder.ckpt").exists()


def test_help_lists_the_keys(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0

    said = capsys.readouterr().out
    for key in ContentEncoderSettings.model_fields:
        assert f"\n{key}:" in said


@pytest.mark.parametrize("typed", ["experiment=content_encoder", "task=content_encoder"])
def test_train_names_the_command_of_the_recipe(typed: str) -> None:
    with pytest.raises(ConfigError, match=r"python -m recipes\.content_encoder"):
        train_job([typed])
