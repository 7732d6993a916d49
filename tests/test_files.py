"""Places of results are checked before the work; what the system says about a file is one line."""

import errno
import os
from pathlib import Path

import pytest
from omegaconf import DictConfig

from utils import config
from utils.errors import ConfigError, DataError
from utils.evaluation.report import list_audio
from utils.files import check_new_file, files_below
from utils.inference.pipeline import find_recordings


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
    ],
)
def test_what_the_system_says_about_a_file_is_one_line(error: OSError, message: str) -> None:
    def task(settings: DictConfig) -> None:
        raise error

    with pytest.raises(DataError, match=message) as caught:
        config._with_lines_for_files(task, DictConfig({}))

    assert "\n" not in str(caught.value)


def test_errors_that_name_no_file_keep_their_traceback() -> None:
    def task(settings: DictConfig) -> None:
        raise ConnectionResetError("peer is gone")

    with pytest.raises(ConnectionResetError):
        config._with_lines_for_files(task, DictConfig({}))


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
