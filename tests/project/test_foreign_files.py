"""A pipe or a device under the name of a file: nothing waits for it, or reads it without end."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from utils.corpus.description import read_description
from utils.corpus.manifest import read_manifest
from utils.corpus.run import Entry
from utils.corpus.shards import Shard, read_records
from utils.corpus.sources import find_sources
from utils.corpus.stages import identify
from utils.corpus.stored_array import StoredArray
from utils.doctor.examine import examine
from utils.errors import WorkbenchError
from utils.export.card import read_card
from utils.files import atomic_write_json, open_descriptor, read_json
from utils.rvc.sovits import read_json as read_config
from utils.training.listening import ListeningFolder
from utils.voice_file.delivered import changed_since_export

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes with names")


def pipe(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)
    return path


@pytest.mark.parametrize("kind", ["pipe", "endless", "folder"])
def test_only_files_are_opened(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    if kind == "pipe":
        pipe(path)
    elif kind == "endless":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()

    with pytest.raises(OSError, match="no file but a folder, a pipe or a device"):
        open_descriptor(path)


def test_a_file_is_opened_and_absent_ones_are_absent(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"ža": [1]}', "utf-8")

    assert read_json(tmp_path / "x.json") == {"ža": [1]}
    with pytest.raises(FileNotFoundError):
        open_descriptor(tmp_path / "y")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[" * 100_000, b"{", b'{"a": ' + b"9" * 5000 + b"}"])
def test_what_is_no_json_is_one_kind_of_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(content)

    with pytest.raises(ValueError):
        read_json(tmp_path / "x.json")


def test_recordings_that_are_pipes_or_devices_are_named_and_left_out(tmp_path: Path) -> None:
    pipe(tmp_path / "a.wav")
    (tmp_path / "b.wav").symlink_to("/dev/zero")
    entries = [Entry(file) for file in find_sources(tmp_path, None, exclude=tmp_path / "none").files]

    identify(entries)

    assert [entry.problem for entry in entries] == ["cannot be read (no file but a folder, a pipe or a device)"] * 2


READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "dataset": ("dataset.json", read_description),
    "manifest": ("manifest-0.jsonl", lambda folder: read_manifest(folder / "manifest-0.jsonl")),
    "array": ("f0.npy", lambda folder: StoredArray(folder / "f0.npy")),
    "shard": ("shards/shard-1-of-1.json", lambda folder: read_records(folder, 1)),
    "doctor": ("dataset.json", examine),
    "card": ("card.json", read_card),
    "delivered": ("card.json", lambda folder: changed_since_export(folder / "x.onnx")),
    "config of So-VITS": ("config.json", lambda folder: read_config(folder / "config.json")),
    "listening": ("listening/listening.json", lambda folder: ListeningFolder(folder).clips()),
}


@pytest.mark.parametrize("name", READERS)
def test_no_reader_of_foreign_folders_waits_for_a_pipe(name: str, tmp_path: Path) -> None:
    place, read = READERS[name]
    if name == "shard":
        place = str(Shard(1, 1).record_path(tmp_path).relative_to(tmp_path))
    pipe(tmp_path / place)

    try:
        found = read(tmp_path)
    except (WorkbenchError, OSError) as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert not found


def test_a_path_that_is_no_utf_8_is_read_back_from_json(tmp_path: Path) -> None:
    atomic_write_json(tmp_path / "x.json", {"source": "/caf\udce9", "name": "ža"})

    assert read_json(tmp_path / "x.json") == {"source": "/caf\udce9", "name": "ža"}


def test_links_out_of_a_folder_of_recordings_are_said_and_none_leads_upwards(tmp_path: Path) -> None:
    source, elsewhere = tmp_path / "a" / "source", tmp_path / "elsewhere"
    for folder in (source, elsewhere):
        folder.mkdir(parents=True)
        (folder / "x.wav").write_bytes(b"RIFF")
    (tmp_path / "private.wav").write_bytes(b"RIFF")
    (source / "up").symlink_to(tmp_path)
    (source / "root").symlink_to("/")
    (source / "b").symlink_to(elsewhere)

    found = find_sources(source, None, exclude=tmp_path / "none")

    assert [file.source for file in found.files] == ["b/x.wav", "x.wav"]
    assert [note for note in found.notes if "outside" in note] == [
        f"recordings outside of {source}, behind links: 1, for example b/x.wav; if they are not yours to use, leave "
        "them out (dataset.exclude)"
    ]
