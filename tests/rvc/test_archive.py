"""A .pth of unknown origin is read without running it, or refused in one line that names the reason."""

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from utils.errors import FormatError
from utils.rvc.archive import read_archive


class Dangerous:
    """Runs a command when it is unpickled without care."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.target}",)


def refusal(path: Path) -> str:
    with pytest.raises(FormatError) as caught:
        read_archive(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def changed(source: Path, target: Path, *, replace: tuple[bytes, bytes] | None = None, **zip_options: Any) -> Path:
    """Copy an archive member by member, changing the bytes of its pickle or how members are packed."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", **zip_options) as new:
        for name in old.namelist():
            data = old.read(name)
            if replace and name.endswith("data.pkl"):
                assert replace[0] in data
                data = data.replace(*replace)
            new.writestr(name, data)
    return target


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.pth"
    torch.save(
        {"weight": {"a": torch.arange(600.0).half(), "b": torch.zeros(3)}, "sr": "48k", "config": [1, "1"]}, path
    )
    return path


def test_plain_data_and_tensors_are_read(good: Path) -> None:
    content = read_archive(good)

    assert content["sr"] == "48k" and content["config"] == [1, "1"]
    torch.testing.assert_close(content["weight"]["a"], torch.arange(600.0).half(), rtol=0, atol=0)


@pytest.mark.parametrize("where", ["archive", "pickle", "newer pickle"])
def test_a_malicious_pickle_is_named_and_not_run(tmp_path: Path, where: str) -> None:
    marker, path = tmp_path / "was_run", tmp_path / "voice.pth"
    content = {"weight": {}, "config": Dangerous(marker)}
    if where == "archive":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content, protocol=2 if where == "pickle" else 4))

    message = refusal(path)

    assert "posix.system" in message and "malicious pickle" in message
    assert not marker.exists()


def test_a_class_of_another_program_is_named(tmp_path: Path, good: Path) -> None:
    path = changed(good, tmp_path / "voice.pth", replace=(b"ccollections\nOrderedDict", b"cultimate_rvc\nTrainingInfo"))

    message = refusal(path)

    assert "ultimate_rvc.TrainingInfo while it is read, which is not plain data" in message
    assert "malicious" not in message


def test_a_number_of_numpy_is_not_called_malicious(tmp_path: Path) -> None:
    path = tmp_path / "voice.pth"
    torch.save({"weight": {}, "epoch": np.float64(3.0)}, path)

    message = refusal(path)

    assert "which is not plain data" in message and "malicious" not in message


@pytest.mark.parametrize(("levels", "is_read"), [(8, True), (200, False)])
def test_keys_of_tuples_inside_each_other_do_not_stop_the_clock(
    tmp_path: Path, good: Path, levels: int, is_read: bool
) -> None:
    doubled = b"".join(b"q%ch%c\x86" % (level, level) for level in range(levels))  # a tuple of the last one, twice
    path = tmp_path / "voice.pth"
    with zipfile.ZipFile(good) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            is_pickle = name.endswith("data.pkl")
            new.writestr(name, b"\x80\x02}X\x01\0\0\0x" + doubled + b"K\x01s." if is_pickle else old.read(name))

    if is_read:
        assert list(read_archive(path).values()) == [1]
    else:
        assert "has tuples 17 deep inside each other" in refusal(path)


def test_a_name_with_line_breaks_stays_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "voice.pth"
    path.write_bytes(b"\x80\x04\x8c\x06o\ns.so\x8c\x04a\x1b[m\x93.")

    assert "'o\\ns.so.a\\x1b[m'" in refusal(path)


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", b"\x80\x02}.")
        for index in range(4):
            archive.writestr(f"bomb/data/{index}", b"\0" * 30_000_000)

    message = refusal(path)

    assert "zip bomb" in message and "120 MB declared in a file of 0.1 MB" in message


def test_members_that_overlap_count_as_often_as_they_are_named(tmp_path: Path, good: Path) -> None:
    data = bytearray(good.read_bytes())
    with zipfile.ZipFile(good) as archive:
        size = len(data)
        member = next(item for item in archive.infolist() if item.filename.endswith("data/0"))
    for marker, offset in ((b"PK\x01\x02", 20), (b"PK\x01\x02", 24)):
        at = data.rindex(member.filename.encode()) - 46
        assert data[at : at + 4] == marker
        data[at + offset : at + offset + 4] = (10 * size).to_bytes(4, "little")
    path = tmp_path / "overlap.pth"
    path.write_bytes(data)

    assert "zip bomb" in refusal(path)


def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path: Path, good: Path) -> None:
    whole, path = good.read_bytes(), tmp_path / "half.pth"
    for length in (2, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])

        assert "truncated or damaged" in refusal(path)


def test_a_changed_byte_of_a_weight_is_found(tmp_path: Path, good: Path) -> None:
    data = bytearray(good.read_bytes())
    at = data.index(torch.arange(600.0).half().numpy().tobytes()[200:240])
    data[at] ^= 1
    path = tmp_path / "flipped.pth"
    path.write_bytes(data)

    assert "checksum" in refusal(path)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "is a text file (it begins 'version https"),
        (b"<!DOCTYPE html><html><body>Not found</body></html>", "is a text file"),
        (b"RIFF\0\0\0\0WAVEfmt ", "is not a file of torch.save"),
        (pickle.dumps({"weight": {}}, protocol=2), "is a bare pickle"),
        (pickle.dumps({"weight": {}}, protocol=2)[:-3], "truncated or damaged"),
    ],
)
def test_other_kinds_of_files_are_named(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "voice.pth"
    path.write_bytes(data)

    assert reason in refusal(path)


def test_an_absent_file_and_another_archive_are_named(tmp_path: Path) -> None:
    assert "is not a file" in refusal(tmp_path / "absent.pth")
    path = tmp_path / "archive.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.txt", "x")
    assert "no data.pkl" in refusal(path)


def test_a_tensor_larger_than_its_data_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "voice.pth"
    torch.save({"weight": {"a": torch.zeros(1).expand(100_000, 100_000)}}, path)

    assert "larger than the data" in refusal(path)


def test_only_a_dictionary_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "voice.pth"
    torch.save([torch.zeros(2)], path)

    assert "holds a list" in refusal(path)
