"""Shipped weights are those of the list or refused; what a run started from stands in its checkpoints and exports."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from models.lite import LiteVoice
from models.toy import ToyVoice
from tests.tools.corpus_tools import described
from tests.tools.training_tools import make_dataset, training
from utils import shipped
from utils.config.export import export_job
from utils.corpus.store import CorpusStore
from utils.errors import ConfigError, FormatError
from utils.export.card import write_cards
from utils.export.description import describe
from utils.export.graph_kinds import ExportedGraph
from utils.export.plans import plan_export
from utils.features.content.builtin import WEIGHTS_FOLDER, BuiltinContent, read_weights
from utils.features.pitch.stream_pitch import StreamPitch
from utils.features.pitch.swift import SwiftPitch, builtin_tracker
from utils.files import sha256_of_file
from utils.training.checkpoints import (
    PAYLOAD_KEY,
    build_generator,
    checkpoint_path,
    load_voice,
    read_checkpoint,
    save_weights,
)
from utils.training.fit import train
from utils.training.pretrained import content_identity, find_pretrained, load_pretrained
from utils.voice_file.geometry import FileGeometry

GENERATOR = "models/weights/lite_base_generator.safetensors"
DATASET = described(content={"weights_sha256": "ab"})


def toy(**more: Any) -> ToyVoice:
    return ToyVoice(**{"sample_rate": 16000, "n_fft": 640, "content_dim": 16, "num_speakers": 2, **more})


def lite(num_speakers: int) -> LiteVoice:
    return LiteVoice(
        sample_rate=16000,
        n_fft=640,
        content_dim=16,
        num_speakers=num_speakers,
        channels=32,
        num_blocks=1,
        speaker_dim=8,
    )


def test_the_list_names_every_shipped_file_with_its_hash() -> None:
    folders = (WEIGHTS_FOLDER, shipped.ROOT / "models" / "weights")
    files = [path for folder in folders for path in folder.glob("*.safetensors")]

    assert {path.relative_to(shipped.ROOT).as_posix(): sha256_of_file(path) for path in files} == (
        shipped.shipped_hashes()
    )


def open_content() -> None:
    BuiltinContent()


def open_pitch() -> None:
    builtin_tracker()


def open_stream_pitch() -> None:
    StreamPitch(SwiftPitch())


def open_base() -> None:
    load_pretrained(toy(), GENERATOR, "pretrained.generator", DATASET)


@pytest.fixture
def other_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list with other hashes, as if every file had changed."""
    changed = "".join(f"{'0' * 64}  {name}\r\n" for name in shipped.shipped_hashes())
    monkeypatch.setattr(shipped, "LIST", tmp_path / "list")
    (tmp_path / "list").write_text(changed)


@pytest.mark.slow
@pytest.mark.usefixtures("other_list")
@pytest.mark.parametrize(
    ("use", "name"),
    [
        (open_content, "content_builtin"),
        (open_pitch, "pitch_builtin"),
        (open_stream_pitch, "pitch_stream"),
        (open_base, "lite_base_generator"),
    ],
)
def test_a_shipped_file_that_is_not_what_it_was_is_refused(use: Callable[[], None], name: str) -> None:
    found = sha256_of_file(next(shipped.ROOT.glob(f"*/**/weights/{name}.safetensors")))[:12]

    said = rf"{name}\.safetensors has SHA-256 {found}\.\.\., expected 0{{12}}\.\.\.; restore it from the repository$"
    with pytest.raises(FormatError, match=said):
        use()


def test_an_absent_list_and_file_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "list").write_text(f"{'0' * 64}  utils/features/weights/gone.safetensors\n")
    monkeypatch.setattr(shipped, "LIST", tmp_path / "list")
    with pytest.raises(FormatError, match=r"gone\.safetensors is missing; restore it from the repository$"):
        BuiltinContent(weights="gone.safetensors")

    with pytest.raises(FormatError, match=r"a file of ones own cannot be read \(.*\)$"):
        read_weights(tmp_path / "a file of ones own")

    monkeypatch.setattr(shipped, "LIST", tmp_path / "absent")
    with pytest.raises(FormatError, match=r"absent cannot be read \(.*\); restore it from the repository$"):
        BuiltinContent()


def test_a_file_of_the_working_folder_does_not_stand_for_a_shipped_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("content_builtin.safetensors", GENERATOR):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"mine")

    assert BuiltinContent().path == WEIGHTS_FOLDER / "content_builtin.safetensors"
    assert find_pretrained(GENERATOR, "pretrained.generator") == shipped.ROOT / GENERATOR
    assert find_pretrained(f"./{GENERATOR}", "pretrained.generator").resolve() == tmp_path / GENERATOR
    with pytest.raises(ConfigError, match=r"content_builtin\.safetensors is not a complete safetensors file"):
        BuiltinContent(weights="./content_builtin.safetensors")


def test_weights_that_do_not_say_what_they_listen_to_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    save_weights(path, toy().state_dict(), {"version": "1"})

    with pytest.raises(ConfigError, match=r"does not say which content features it was trained on .*pretrained=none$"):
        load_pretrained(toy(), str(path), "pretrained.generator", DATASET)

    save_weights(path, toy().state_dict(), {"content_weights_sha256": "cd"})
    with pytest.raises(ConfigError, match="was trained on content features of cd, the dataset has those of ab"):
        load_pretrained(toy(), str(path), "pretrained.generator", DATASET)

    save_weights(path, toy().state_dict(), {"content_weights_sha256": "ab"})
    assert "tensors from mine.safetensors" in load_pretrained(toy(), str(path), "pretrained.generator", DATASET)


def test_a_dataset_of_an_encoder_that_was_taught_by_the_right_one_fits(tmp_path: Path) -> None:
    path, taught = tmp_path / "w.safetensors", {"id": "builtin", "version": "7", "weights_sha256": "cd"}
    metadata = {"content_weights_sha256": "ab", "content_identity_sha256": content_identity({"weights_sha256": "ab"})}
    save_weights(path, toy().state_dict(), metadata)

    found = load_pretrained(
        toy(), str(path), "pretrained.generator", described(content=taught | {"same_features_as": "ab"})
    )
    assert "tensors from w.safetensors" in found
    with pytest.raises(ConfigError, match="was trained on content features of ab, the dataset has those of cd"):
        load_pretrained(
            toy(), str(path), "pretrained.generator", described(content=taught | {"same_features_as": "ef"})
        )


@pytest.mark.parametrize(
    ("changed", "is_refused"), [({}, False), ({"look_ahead": "short"}, False), ({"layer": 12}, True)]
)
def test_the_same_encoder_with_other_settings_is_refused(
    changed: dict[str, Any], is_refused: bool, tmp_path: Path
) -> None:
    """The same weights give other features from another layer; the look-ahead alone may differ."""
    path, identity = tmp_path / "w.safetensors", {"id": "hubert", "weights_sha256": "ab", "layer": 9}
    metadata = {"content_weights_sha256": "ab", "content_identity_sha256": content_identity(identity)}
    save_weights(path, toy().state_dict(), metadata)
    dataset = described(content=identity | changed)

    with pytest.raises(ConfigError, match="with other settings") if is_refused else contextlib.nullcontext():
        load_pretrained(toy(), str(path), "pretrained.generator", dataset)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with a run that started from a file, and the file's hash; the file is another one by now."""
    folder = tmp_path_factory.mktemp("started")
    datasets, start = make_dataset(folder), folder / "start.safetensors"
    overrides = ("discriminator=none", f"pretrained.generator={start}")
    config = training(datasets, folder / "runs", "fine", 1, *overrides)
    generator = build_generator(config.model, CorpusStore.open(datasets / "tiny").description)
    save_weights(start, generator.state_dict(), {"content_weights_sha256": ""})
    digest = sha256_of_file(start)
    train(config)
    start.write_bytes(b"another file")
    train(training(datasets, folder / "runs", "fine", 2, *overrides, "resume=last", "resume_changed=true"))
    return folder, digest


def test_a_checkpoint_names_what_its_run_started_from_after_resuming_too(started: tuple[Path, str]) -> None:
    folder, digest = started

    for which, step in (("previous", 1), ("last", 2)):
        content = read_checkpoint(checkpoint_path(folder / "runs" / "fine", which))
        assert int(content["state_dict"]["steps_done"]) == step
        assert content[PAYLOAD_KEY]["pretrained"] == {"generator": {"file": "start.safetensors", "sha256": digest}}


def test_metadata_and_card_name_what_the_voice_started_from(started: tuple[Path, str], tmp_path: Path) -> None:
    folder, digest = started
    run = folder / "runs" / "fine"
    job = plan_export(export_job([f"run={run}"]))
    geometry = FileGeometry(name="fine", sample_rate=16000, hop_length=160, n_fft=640)
    graph = tmp_path / geometry.file_name
    graph.write_bytes(b"graph")

    metadata = describe(job, load_voice(run, "last"), geometry, graph_kind="audio_to_audio", index_sha256=None)
    card = write_cards(tmp_path, [ExportedGraph(graph, (), metadata)], None)

    assert metadata.extra["pretrained"] == {"generator": {"file": "start.safetensors", "sha256": digest}}
    assert card["pretrained"] == metadata.extra["pretrained"]
    text = (tmp_path / "card.md").read_text(encoding="utf-8")
    assert f"Training started from start.safetensors (SHA-256 `{digest}`)." in text


def test_a_checkpoint_that_does_not_say_what_its_run_started_from_is_read(started: tuple[Path, str]) -> None:
    folder, _ = started
    run = folder / "runs" / "older"
    content = read_checkpoint(checkpoint_path(folder / "runs" / "fine", "last"))
    del content[PAYLOAD_KEY]["pretrained"]
    (run / "checkpoints").mkdir(parents=True)
    torch.save(content, run / "checkpoints" / "last.ckpt")

    assert load_voice(run, "last").pretrained is None
    train(training(folder / "datasets", folder / "runs", "older", 3, "discriminator=none", "resume=last",
                   "resume_changed=true"))  # fmt: skip
    assert read_checkpoint(checkpoint_path(run, "last"))[PAYLOAD_KEY]["pretrained"] is None


def test_speakers_of_a_file_of_ours_stay_where_they_are_asked_to(tmp_path: Path) -> None:
    path, voice, start = tmp_path / "mine.safetensors", lite(3), lite(3)
    save_weights(path, voice.state_dict(), {"content_weights_sha256": "ab"})
    table = voice.state_dict()["speaker.weight"].half().float()  # as it is stored

    assert "each of its 3 speaker(s) stays" in load_pretrained(
        start, str(path), "pretrained.generator", DATASET, speakers="all"
    )
    assert torch.equal(start.state_dict()["speaker.weight"], table)
    load_pretrained(start, str(path), "pretrained.generator", DATASET)
    assert torch.allclose(start.state_dict()["speaker.weight"], table.mean(dim=0).expand(3, -1))
    with pytest.raises(ConfigError, match=r"speakers=all: the dataset has 2 speaker\(s\), .* has 3; type .*=mean$"):
        load_pretrained(lite(2), str(path), "pretrained.generator", DATASET, speakers="all")
    for wanted in ("some", [0, 1, 2]):
        with pytest.raises(ConfigError, match=r"rows of a speaker table are chosen in a \.pth of RVC"):
            load_pretrained(start, str(path), "pretrained.generator", DATASET, speakers=wanted)
