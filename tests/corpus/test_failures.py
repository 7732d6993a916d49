"""A failure of the machine ends the run and costs no recording."""

import errno
import io
import os
from pathlib import Path

import numpy as np
import pytest

from tests.tools.corpus_tools import make_job, write_sounds
from utils.audio.synthetic_speech import voice
from utils.corpus import arrays, reading, stages
from utils.corpus.arrays import new_array
from utils.corpus.pipeline import prepare_dataset
from utils.errors import DataError

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="the system has no /dev/full")


class OnFullDisk(io.BytesIO):
    """A stream whose writes reach a disk without room."""

    def write(self, data: object) -> int:
        """Raise what the system says."""
        with FULL.open("wb", buffering=0) as disk:
            return disk.write(data)  # type: ignore[arg-type]


@pytest.fixture
def grown(tmp_path: Path) -> Path:
    """A dataset of two recordings whose source has three now."""
    sounds = {f"{index}.wav": voice(1.0, seed=index) for index in range(3)}
    write_sounds(tmp_path / "source", {name: sounds[name] for name in ("0.wav", "1.wav")})
    prepare_dataset(make_job(tmp_path / "source", tmp_path / "data"))
    write_sounds(tmp_path / "source", sounds)
    return tmp_path / "data"


def files_of(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def failed_run(folder: Path) -> str:
    """Return the message of a run that must fail and leave the dataset as it is."""
    before = files_of(folder)
    with pytest.raises(DataError) as caught:
        prepare_dataset(make_job(folder.parent / "source", folder))
    assert {path: path.read_bytes() for path in before} == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


@needs_full
def test_full_folder_for_temporary_files_ends_the_run(grown: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(reading.tempfile, "SpooledTemporaryFile", lambda size: OnFullDisk())
        message = failed_run(grown)

    assert message.startswith(f"{grown.parent / 'source' / '2.wav'}: No space left on device; free some space")
    assert "TMPDIR" in message
    assert prepare_dataset(make_job(grown.parent / "source", grown))["totals"]["files"] == 3


def test_failing_disk_of_the_source_ends_the_run(grown: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> str:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(stages, "sha256_of_file", fail)

    assert "wav: Input/output error; check the disk or its connection" in failed_run(grown)


def test_full_disk_of_the_dataset_ends_the_run(grown: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: int, first: int, length: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(arrays.os, "posix_fallocate", refuse)

    message = failed_run(grown)

    assert str(grown / "cache") in message and "No space left on device" in message


def test_array_has_its_room_on_the_disk_before_it_is_filled(tmp_path: Path) -> None:
    size = 1 << 20
    with new_array(tmp_path / "a.npy", (size,), np.int16) as array:
        (temporary,) = tmp_path.glob(".a.*.tmp")
        taken = temporary.stat().st_blocks * 512
        array[...] = 1

    assert taken >= size * 2
    assert np.load(tmp_path / "a.npy").sum() == size


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL])
def test_file_system_that_cannot_set_room_aside_is_used_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(handle: int, first: int, length: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(arrays.os, "posix_fallocate", refuse)
    with new_array(tmp_path / "a.npy", (3,), np.int16) as array:
        array[...] = 7

    assert np.load(tmp_path / "a.npy").tolist() == [7, 7, 7]
