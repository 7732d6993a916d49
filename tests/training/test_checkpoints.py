"""Files of a run that are damaged, foreign or dangerous are refused in one line, and never executed."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from models.toy import ToyVoice
from tests.tools.corpus_tools import described
from tests.tools.training_tools import make_dataset, training
from utils.audio.synthetic_speech import voice
from utils.corpus.description import DatasetDescription
from utils.errors import ConfigError, FormatError
from utils.features.content.base import normalize_content
from utils.features.pitch.swift import SwiftPitch, builtin_tracker
from utils.training.checkpoint_checks import PAYLOAD_KEY
from utils.training.checkpoints import checkpoint_path, load_voice, read_checkpoint, require_same_networks
from utils.training.codebook import CODEBOOK_FILE, read_codebook, save_codebook
from utils.training.fit import train

IDENTITY = {"id": "random", "version": "1", "seed": 0, "dim": 16}


class Dangerous:
    """Runs a command when it is unpickled without care."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.target}",)


def dataset(*speakers: str, identity: dict[str, Any] = IDENTITY) -> DatasetDescription:
    return described(*speakers, content=identity)


def content_of(state: dict[str, torch.Tensor], trained: DatasetDescription) -> dict[str, Any]:
    return {"state_dict": state, PAYLOAD_KEY: {"schema_version": 1, "dataset": trained.to_plain()}}


def test_pickle_that_wants_to_run_code_is_refused_and_not_run(tmp_path: Path) -> None:
    marker, path = tmp_path / "was_run", tmp_path / "last.ckpt"
    torch.save({PAYLOAD_KEY: Dangerous(marker)}, path)

    with pytest.raises(FormatError, match=r"last\.ckpt cannot be read") as caught:
        read_checkpoint(path)

    assert not marker.exists()
    assert "\n" not in str(caught.value)


def test_truncated_empty_and_foreign_files_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    torch.save({PAYLOAD_KEY: {"schema_version": 1}, "weights": torch.zeros(1000)}, path)
    whole = path.read_bytes()

    for part in (whole[:-100], whole[: len(whole) // 2], b"", b"PK", b"not a checkpoint at all"):
        path.write_bytes(part)
        with pytest.raises(FormatError, match=r"last\.ckpt cannot be read") as caught:
            read_checkpoint(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [{"state_dict": {}}, [1, 2], {PAYLOAD_KEY: 3}, {PAYLOAD_KEY: {}}])
def test_checkpoint_of_another_program_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "last.ckpt")

    with pytest.raises(FormatError, match=r"last\.ckpt (was not written by this workbench|has schema)"):
        read_checkpoint(tmp_path / "last.ckpt")


def test_newer_schema_is_refused_naming_both_numbers(tmp_path: Path) -> None:
    torch.save({PAYLOAD_KEY: {"schema_version": 2}}, tmp_path / "last.ckpt")

    with pytest.raises(FormatError, match="schema 2, this program reads 1"):
        read_checkpoint(tmp_path / "last.ckpt")


def test_absent_run_and_checkpoint_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a folder"):
        checkpoint_path(tmp_path / "nowhere", "best")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    with pytest.raises(ConfigError, match="no checkpoint 'best'; found: last"):
        checkpoint_path(tmp_path, "best")


def test_codebook_round_trips_and_its_damage_is_one_line(tmp_path: Path) -> None:
    codebook = normalize_content(torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0))).half().float()
    save_codebook(tmp_path, codebook)
    restored = read_codebook(tmp_path)
    assert restored is not None and torch.equal(restored.codebook, codebook)
    (tmp_path / CODEBOOK_FILE).write_bytes((tmp_path / CODEBOOK_FILE).read_bytes()[:40])

    with pytest.raises(FormatError, match=r"codebook\.safetensors is damaged") as caught:
        read_codebook(tmp_path)

    assert "\n" not in str(caught.value)


def test_run_without_codebook_has_no_retrieval(tmp_path: Path) -> None:
    assert read_codebook(tmp_path) is None


def test_same_networks_and_dataset_may_be_continued() -> None:
    state = {"a": torch.zeros(2)}

    require_same_networks(content_of(state, dataset("x")), Path("last.ckpt"), {"a": torch.ones(2)}, dataset("x"))


@pytest.mark.parametrize("state", [{"a": torch.zeros(3)}, {}, {"a": torch.zeros(2), "b": torch.zeros(1)}])
def test_other_tensors_may_not_be_continued(state: dict[str, torch.Tensor]) -> None:
    content = content_of({"a": torch.zeros(2)}, dataset("x"))

    with pytest.raises(ConfigError, match=r"holds other networks .*1 tensors differ"):
        require_same_networks(content, Path("last.ckpt"), state, dataset("x"))


def test_other_encoder_or_speakers_may_not_be_continued() -> None:
    content, state = content_of({}, dataset("x", "y")), dict[str, torch.Tensor]()

    with pytest.raises(ConfigError, match=r"speakers \['x', 'y'\], the dataset has \['y', 'z'\]"):
        require_same_networks(content, Path("last.ckpt"), state, dataset("y", "z"))
    with pytest.raises(ConfigError, match="content features of random 1, the dataset has those of builtin 2"):
        other = dataset("x", "y", identity={"id": "builtin", "version": "2"})
        require_same_networks(content, Path("last.ckpt"), state, other)
    with pytest.raises(ConfigError, match=r"random 1 with look_ahead=default, the .* random 1 with look_ahead=short"):
        other = dataset("x", "y", identity={"id": "random", "version": "1", "seed": 0, "look_ahead": "short"})
        require_same_networks(content, Path("last.ckpt"), state, other)


@pytest.mark.slow
@pytest.mark.parametrize("feature", ["content", "f0_hz"])
def test_a_front_end_that_nothing_builds_may_not_be_foreign_either(
    feature: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train(training(make_dataset(tmp_path), tmp_path, "run", 1))
    path = run / "checkpoints" / "last.ckpt"
    content = torch.load(path, weights_only=True)
    content[PAYLOAD_KEY]["dataset"]["features"][feature]["config"] = {"_target_": "os.system", "command": "true"}
    torch.save(content, path)
    monkeypatch.setattr(ToyVoice, "reads_audio", True)  # as VITS does

    with pytest.raises(FormatError, match=r"os.system, no class of this workbench"):
        load_voice(run, "last")


def test_voice_whose_encoder_has_changed_is_refused(tmp_path: Path) -> None:
    run = train(training(make_dataset(tmp_path), tmp_path, "run", 1))
    path = run / "checkpoints" / "last.ckpt"
    content = torch.load(path, weights_only=True)
    content[PAYLOAD_KEY]["dataset"]["features"]["content"]["config"]["seed"] = 7
    torch.save(content, path)

    with pytest.raises(ConfigError, match=r"made with content features of random.*encoder here"):
        load_voice(run, "last")


@pytest.mark.slow
def test_voice_trained_on_pitch_of_world_gets_an_exportable_tracker(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = train(training(make_dataset(tmp_path), tmp_path, "run", 1))
    path = run / "checkpoints" / "last.ckpt"
    content = torch.load(path, weights_only=True)
    world = {"_target_": "utils.features.pitch.world.WorldPitch", "method": "dio"}
    content[PAYLOAD_KEY]["dataset"]["features"]["f0_hz"]["config"] = world
    torch.save(content, path)

    loaded = load_voice(run, "last")

    audio = torch.from_numpy(voice(0.3))[None]
    values = [torch.tensor(value) for value in (0.0, 0, 0.5, 0.33, 1.0)]
    assert loaded.converter(audio, *values).shape == audio.shape
    assert "pitch=builtin" in caplog.text


@pytest.mark.slow
def test_voice_trained_on_the_pitch_of_an_earlier_tracker_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = train(training(make_dataset(tmp_path), tmp_path, "run", 1))
    path = run / "checkpoints" / "last.ckpt"
    content = torch.load(path, weights_only=True)
    content[PAYLOAD_KEY]["dataset"]["features"]["f0_hz"]["identity"] = builtin_tracker().identity
    pitch = {"_target_": "utils.features.pitch.swift.SwiftPitch", "voicing_threshold": 0.38}
    content[PAYLOAD_KEY]["dataset"]["features"]["f0_hz"]["config"] = pitch
    torch.save(content, path)

    load_voice(run, "last")

    assert "run was made with the pitch of swift_f0_narrow " in caplog.text
    assert "the tracker here is swift_f0 6385e8c2ebc3; what it finds differs a little" in caplog.text

    content[PAYLOAD_KEY]["dataset"]["features"]["f0_hz"]["identity"] = {**SwiftPitch().identity, "version": 2}
    torch.save(content, path)
    load_voice(run, "last")
    assert (
        "swift_f0 6385e8c2ebc3 with version=2, the tracker here is swift_f0 6385e8c2ebc3 with version=4" in caplog.text
    )
