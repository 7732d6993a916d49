"""An archive of torch.save is read only if all readers of zip archives find the same in it, and as much as it says."""

import pickle
import random
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from utils.rvc.torch_files import load_plain, tensors_of
from utils.rvc.zip_layout import read_layout

DIRECTORY, END, LOCAL = b"PK\x01\x02", b"PK\x05\x06", b"PK\x03\x04"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    generator = torch.Generator().manual_seed(0)
    weights = {name: torch.randn(40, 5, generator=generator) for name in ("a", "b", "c")}
    content = {
        "weights": weights,
        "part": weights["a"][3:5],
        "steps": torch.tensor(7),
        "name": "x",
        "list": [1, None, 2.5],
    }
    torch.save(content, tmp_path / "last.ckpt")
    return tmp_path / "last.ckpt"


def refusal(path: Path) -> str:
    with pytest.raises(zipfile.BadZipFile) as caught:
        load_plain(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def poke(path: Path, mark: bytes, number: int, offset: int, value: bytes) -> None:
    """Write bytes behind the beginning of a record of the archive."""
    data, at = bytearray(path.read_bytes()), -1
    for _ in range(number + 1):
        at = data.index(mark, at + 1)
    data[at + offset : at + offset + len(value)] = value
    path.write_bytes(data)


def test_what_torch_saves_is_read_with_views_and_with_memory_maps(path: Path) -> None:
    expected = torch.load(path, weights_only=True)

    for content in (load_plain(path), load_plain(path, mmap=True)):
        assert content["name"] == "x" and content["list"] == [1, None, 2.5]
        for ours, theirs in zip(tensors_of(content), tensors_of(expected), strict=True):
            assert torch.equal(ours, theirs)


def test_what_python_rewrites_without_packing_is_read(path: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.pth"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(again, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))

    assert load_plain(again)["name"] == "x"


@pytest.mark.parametrize("number", range(7))
def test_a_file_that_the_directory_calls_a_folder_is_refused(path: Path, number: int) -> None:
    poke(path, DIRECTORY, number, 38, b"\x10")

    assert "folder" in refusal(path)


@pytest.mark.parametrize("letter", [b"\x80", b"\n", b"A", b"\0", b"/", b"\\"])
def test_a_changed_name_is_refused(path: Path, letter: bytes) -> None:
    poke(path, DIRECTORY, 2, 46, letter)
    refusal(path)


def test_names_that_are_one_to_torch_are_refused(path: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.pth"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(again, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
        new.writestr("LAST/DATA/0", b"\0" * 800)

    assert "twice" in refusal(again)


def test_what_stands_before_between_or_behind_the_files_is_refused(path: Path) -> None:
    whole = path.read_bytes()

    for changed in (b"#!/bin/sh\n" + whole, whole + b"x", whole[:-1], whole + whole, whole[:-2] + b"\x01\0x"):
        path.write_bytes(changed)
        refusal(path)


@pytest.mark.parametrize(
    ("mark", "offset", "value"),
    [
        (DIRECTORY, 8, b"\x01"),  # encrypted
        (DIRECTORY, 10, b"\x08"),  # packed
        (DIRECTORY, 16, b"\x01"),  # checksum
        (DIRECTORY, 20, b"\x01"),  # size
        (DIRECTORY, 24, b"\x01"),
        (DIRECTORY, 28, b"\x01"),  # length of the name
        (DIRECTORY, 34, b"\x01"),  # number of the disk
        (DIRECTORY, 42, b"\x01"),  # place
        (LOCAL, 0, b"x"),
        (LOCAL, 8, b"\x08"),
        (LOCAL, 26, b"\x01"),
        (LOCAL, 28, b"\x01"),
        (LOCAL, 30, b"x"),
        (END, 0, b"x"),
        (END, 4, b"\x01"),
        (END, 8, b"\x01"),
        (END, 10, b"\x01"),
        (END, 12, b"\x01"),
        (END, 16, b"\x01"),
        (END, 20, b"\x01"),
    ],
)
def test_records_that_contradict_each_other_are_refused(path: Path, mark: bytes, offset: int, value: bytes) -> None:
    poke(path, mark, 0, offset, value)
    refusal(path)


def test_no_changed_byte_gives_other_numbers(path: Path) -> None:
    whole, expected = path.read_bytes(), load_plain(path)
    chosen = random.Random(0)
    begin = whole.index(DIRECTORY)

    refused = 0
    for trial in range(150):
        data = bytearray(whole)
        data[chosen.randrange(begin if trial % 2 else 0, len(data))] ^= 1 << chosen.randrange(8)
        path.write_bytes(data)
        try:
            content = load_plain(path)
        except zipfile.BadZipFile:
            refused += 1
            continue
        assert content.keys() == expected.keys() and content["list"] == expected["list"]
        for ours, theirs in zip(tensors_of(content), tensors_of(expected), strict=True):
            assert torch.equal(ours, theirs)
    assert refused > 75


def rewritten(path: Path, change: Any) -> Path:
    """Save the archive with another pickle, everything else about it in order."""
    with zipfile.ZipFile(path) as old:
        files = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, "w") as new:
        for name, data in files.items():
            new.writestr(name, change(data) if name.endswith("data.pkl") else data)
    return path


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (b"K\xc8", b"K\xc9", "another size"),  # 200 numbers of a storage become 201
        (b"K\xc8", b"K\x01", "another size"),
        (b"X\x01\0\0\x002", b"X\x01\0\0\x009", "another size"),  # a file that is not there
        (b"K(K\x05\x86", b"K\xffK\x05\x86", "larger than the data"),  # rows of a tensor
        (b"K\x05K\x01\x86", b"K\xfeK\x01\x86", "larger than the data"),  # its strides
        (b"FloatStorage", b"NoSuchStorag", "structure is damaged"),
        (b"FloatStorage", b"QInt8Storage", "kind"),
        (b"ctorch._utils\n_rebuild_tensor_v2", b"cposix\nsystem\x94system\x94system\x94sys", ""),
    ],
)
def test_a_pickle_that_declares_more_than_there_is_is_refused(
    path: Path, before: bytes, after: bytes, reason: str
) -> None:
    def change(data: bytes) -> bytes:
        assert before in data
        return data.replace(before, after)

    assert reason in refusal(rewritten(path, change))


@pytest.mark.parametrize(
    "pickled",
    [
        b"\x80\x02cos\nsystem\nX\x04\0\0\0truetR.",
        b"\x80\x02cbuiltins\neval\n(X\x01\0\0\x001tR.",
        pickle.dumps({"a": {1}}, protocol=4),
        b"\x80\x02r\xff\xff\xff\x7f.",
        b"\x80\x02}r\xff\xff\xff\x7f.",
        b"\x80\x02(((((((((.",
        b"\x80\x02]q\0h\0a.x",
        b"\x80\x02.",
        b"",
        b"garbage",
        b"\x80\x02" + b"]" * 3000 + b"a" * 2999 + b"(" * 50,
        struct.pack("<cBcI", b"\x80", 2, b"X", 2**31) + b"x.",
    ],
)
def test_a_pickle_made_to_confuse_is_one_line(path: Path, pickled: bytes) -> None:
    rewritten(path, lambda _: pickled)

    try:
        load_plain(path)
    except zipfile.BadZipFile as error:
        assert "\n" not in str(error)


def test_a_command_is_named_and_not_run(path: Path, tmp_path: Path) -> None:
    marker = tmp_path / "was_run"
    command = f"touch {marker}".encode()
    rewritten(path, lambda _: b"\x80\x02cposix\nsystem\n(X" + struct.pack("<I", len(command)) + command + b"tR.")

    assert "it wants to use posix.system" in refusal(path)
    assert not marker.exists()


def test_layout_names_files_without_their_common_folder(path: Path) -> None:
    names = set(read_layout(path))

    assert {"data.pkl", "data/0", "version"} <= names
