"""Places of results are checked before the work; what the system says about a file is one line."""

import contextlib
import errno
import os
import resource
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from utils.audio.listing import list_audio
from utils.errors import ConfigError, DataError, one_line_for_files
from utils.features.index import IndexOptions, build_index, save_index
from utils.files import atomic_write, atomic_write_bytes, check_new_file, files_below, write_to
from utils.inference.pipeline import find_recordings
from utils.training.checkpoint_files import AtomicCheckpointIO


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    path = tmp_path / "a.onnx"
    path.write_text("graph")
    return path


def test_a_result_must_not_replace_what_is_read(graph: Path) -> None:
    link, hard = graph.with_name("link"), graph.with_name("hard")
    link.symlink_to(graph)
    os.link(graph, hard)

    for path in (graph, graph.parent / "." / "a.onnx", link, hard):
        with pytest.raises(ConfigError, match=r"report=.* would replace .*a\.onnx, which is read"):
            check_new_file(path, "report", [graph])

    check_new_file(graph.with_name("new.json"), "report", [graph])
    check_new_file(graph.parent / "new" / "folder" / "new.json", "report", [graph])


@pytest.mark.parametrize(("path", "message"), [(".", "is a folder; give"), ("a.onnx/x/r.json", r"a\.onnx is a file")])
def test_a_folder_and_a_place_under_a_file_are_refused(graph: Path, path: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        check_new_file(graph.parent / path, "report")

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/a/b"), "^/a/b: Permission denied; make it accessible"),
        (OSError(errno.EXDEV, "Cross-device link", "/a", None, "/b"), "^/a -> /b: Cross-device link"),
        (OSError(errno.ENOSPC, "No space left on device"), "^writing a file: No space left on device; free some space"),
        (OSError(errno.EDQUOT, "Quota exceeded"), "^writing a file: Quota exceeded; free some of your quota"),
        (OSError(errno.EFBIG, "File too large"), "^writing a file: File too large; raise the limit"),
        (OSError(errno.EIO, "Input/output error", "/a"), "^/a: Input/output error; check the disk"),
    ],
)
def test_what_the_system_says_about_a_file_is_one_line(error: OSError, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught, one_line_for_files():
        raise error

    assert "\n" not in str(caught.value)


def test_errors_that_name_no_file_keep_their_traceback() -> None:
    with pytest.raises(ConnectionResetError), one_line_for_files():
        raise ConnectionResetError("peer is gone")


def test_files_of_linked_folders_are_found_once_and_hidden_ones_are_not(tmp_path: Path) -> None:
    real, corpus = tmp_path / "real", tmp_path / "corpus"
    for path in (real / "a.wav", real / ".hidden.wav", corpus / "b.wav", corpus / ".cache" / "c.wav"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (corpus / "alice").symlink_to(real)
    (real / "again").symlink_to(corpus)

    assert list(files_below(corpus)) == [corpus / "b.wav", corpus / "alice" / "a.wav"]
    assert list_audio(corpus) == [corpus / "alice" / "a.wav", corpus / "b.wav"]
    assert find_recordings(corpus) == [corpus / "alice" / "a.wav", corpus / "b.wav"]
    assert list(files_below(corpus, exclude=corpus / "alice")) == [corpus / "b.wav"]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    secret, scandir = tmp_path / "secret", os.scandir
    for path in (tmp_path / "a.wav", secret / "b.wav"):
        path.parent.mkdir(exist_ok=True)
        path.touch()

    def scan(path: str) -> Iterator[os.DirEntry[str]]:
        if Path(path) == secret:
            raise OSError(number, os.strerror(number), path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scan)

    for find in (lambda: list(files_below(tmp_path)), lambda: list_audio(tmp_path), lambda: find_recordings(tmp_path)):
        with pytest.raises(DataError, match=f"folder {secret} cannot be read .*make it readable") as caught:
            find()
        assert os.strerror(number) in str(caught.value) and "\n" not in str(caught.value)
    assert list(files_below(tmp_path, exclude=secret)) == [tmp_path / "a.wav"]


def test_a_folder_that_is_not_there_has_no_files(tmp_path: Path) -> None:
    assert list(files_below(tmp_path / "absent")) == []


@contextlib.contextmanager
def little_room(size: int = 1000) -> Iterator[None]:
    """Let the system refuse files that are larger, as a full disk does in the middle of one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def save_weights(path: Path) -> None:
    atomic_write(path, partial(torch.save, {"weights": torch.ones(100_000)}))


def save_checkpoint(path: Path) -> None:
    AtomicCheckpointIO().save_checkpoint({"weights": torch.ones(100_000)}, path)


def save_vectors(path: Path) -> None:
    vectors = np.random.default_rng(0).standard_normal((500, 16), dtype=np.float32)
    save_index(build_index([vectors], None, IndexOptions()), path)


def save_bytes(path: Path) -> None:
    atomic_write_bytes(path, bytes(100_000))


@pytest.mark.parametrize("save", [save_weights, save_checkpoint, save_vectors, save_bytes])
def test_disk_without_room_is_what_the_system_says_whoever_writes(tmp_path: Path, save: Callable[[Path], None]) -> None:
    path = tmp_path / "kept"
    path.write_text("old")

    with little_room(), pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
        save(path)

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("size", [1, 1_000_000])  # less than a buffer, and more
def test_first_error_of_a_stream_is_raised_when_the_library_is_done(size: int) -> None:
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)), open("/dev/full", "wb", buffering=0) as stream:  # noqa: PTH123
        write_to(stream, partial(torch.save, {"weights": torch.ones(size)}))


def test_message_names_the_file_that_was_to_be_written(tmp_path: Path) -> None:
    words = rf"^{tmp_path / 'weights.pth'}: File too large; "
    with little_room(), pytest.raises(DataError, match=words), one_line_for_files():
        save_weights(tmp_path / "weights.pth")


def test_what_a_library_writes_to_a_stream_arrives_whole(tmp_path: Path) -> None:
    save_weights(tmp_path / "weights.pth")

    content = torch.load(tmp_path / "weights.pth", weights_only=True)
    assert torch.equal(content["weights"], torch.ones(100_000))
