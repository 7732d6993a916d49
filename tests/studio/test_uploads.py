"""Files from the browser stay in their folder and within their bounds."""

import collections
import errno
import os
from pathlib import Path

import pytest

from studio.uploads import AUDIO, UploadFolder, inside, plain_name
from studio.workspace import Workspace
from utils.errors import ConfigError, DataError


@pytest.mark.parametrize("name", ["../../etc/x.wav", r"C:\fakepath\x.wav", "/x.wav", "a/b/../x.wav", "x.wav"])
def test_folders_in_a_name_are_left_out(name: str) -> None:
    assert plain_name(name) == "x.wav"


@pytest.mark.parametrize(
    "name", ["", "..", ".wav", "x.exe", "x.wav\0.png", "x.pkl", "con.wav", "a" * 200 + ".wav", "x.wav/"]
)
def test_names_that_are_none_are_one_line(name: str) -> None:
    with pytest.raises(ConfigError):
        plain_name(name)


def test_a_voice_is_no_recording() -> None:
    with pytest.raises(ConfigError, match="no kind"):
        plain_name("x.pth", AUDIO)


def test_files_are_kept_apart_and_nothing_is_replaced(tmp_path: Path) -> None:
    folder = UploadFolder(tmp_path / "up")

    first, second = folder.save("a/x.wav", [b"1", b"2"]), folder.save("x.wav", [b"3"])

    assert (first.name, second.name) == ("x.wav", "x (2).wav")
    assert (first.read_bytes(), second.read_bytes()) == (b"12", b"3")
    assert first.parent == second.parent == tmp_path / "up"


def test_too_large_a_file_leaves_nothing(tmp_path: Path) -> None:
    folder = UploadFolder(tmp_path, max_file_bytes=3, max_total_bytes=5)
    folder.save("a.wav", [b"123"])

    with pytest.raises(DataError, match="larger than"):
        folder.save("b.wav", [b"12", b"34"])  # larger than a file may be
    with pytest.raises(DataError, match="larger than"):
        folder.save("b.wav", [b"123"])  # larger than what is left for all

    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def test_a_disk_that_is_nearly_full_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr("studio.uploads.shutil.disk_usage", lambda path: usage(10, 9, 1))

    with pytest.raises(DataError, match="larger than the 0 MB"):
        UploadFolder(tmp_path).save("a.wav", [b"1"])


def test_a_disk_that_becomes_full_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)

    with pytest.raises(DataError, match="free some space"):
        UploadFolder(tmp_path).save("a.wav", [b"1"])

    assert [path.name for path in tmp_path.iterdir() if path.stat().st_size] == []


def test_a_file_that_the_framework_wrote_is_taken_from_the_folder_alone(tmp_path: Path) -> None:
    folder = UploadFolder(tmp_path / "up")
    own, other = tmp_path / "up" / "cache" / "blob", tmp_path / "secret"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"1")
    other.write_bytes(b"2")

    assert folder.adopt(own, "x.wav").read_bytes() == b"1"
    assert not own.exists()
    (tmp_path / "up" / "link").symlink_to(other)
    for wrong in (other, tmp_path / "up" / ".." / "secret", tmp_path / "up" / "link", tmp_path / "up"):
        with pytest.raises(ConfigError, match="no upload"):
            folder.adopt(wrong, "x.wav")
    assert other.exists()


def test_old_files_are_removed(tmp_path: Path) -> None:
    folder = UploadFolder(tmp_path)
    old, new = folder.save("a.wav", [b"1"]), folder.save("b.wav", [b"1"])
    os.utime(old, (1, 1))

    assert folder.remove_older(3600) == 1

    assert (old.exists(), new.exists()) == (False, True)


def test_no_path_leaves_its_folder(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "out").symlink_to(tmp_path)

    assert inside(tmp_path / "in", "a/b.wav") == tmp_path / "in" / "a" / "b.wav"
    for name in ("..", "../x", "/etc/passwd", "a/../../x", "out/x", ".", "", "out"):
        with pytest.raises(ConfigError):
            inside(tmp_path / "in", name)


@pytest.mark.parametrize("name", ["../outside", "..", "/tmp/outside", "a/b", "", " ", ".hidden"])
def test_a_typed_name_cannot_lead_recordings_out_of_their_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="must be a plain name"):
        Workspace(tmp_path).recordings(name)
