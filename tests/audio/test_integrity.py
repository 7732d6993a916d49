"""Damage that decoders pass over in silence is found in the container."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.tools.phone_recordings import write_recording
from utils.audio import file_bytes, mpeg_frames
from utils.audio.decoding import open_audio
from utils.audio.file_bytes import FileBytes
from utils.audio.integrity import damage_of, ogg_checksum
from utils.audio.synthetic_speech import voice

RATE = 48000


def slow_checksum(data: bytes) -> int:
    """RFC 3533, bit by bit."""
    value = 0
    for byte in data:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ 0x04C11DB7 if value >> 31 else value << 1) & 0xFFFFFFFF
    return value


def made(folder: Path, kind: str) -> Path:
    path = folder / f"x.{kind.partition(' ')[0]}"
    if kind == "ogg opus":
        soundfile.write(path, voice(4.0, RATE), RATE, format="OGG", subtype="OPUS")
    elif kind in ("opus", "mp2"):
        write_recording(path, voice(4.0, RATE), RATE, "libopus" if kind == "opus" else "mp2")
    else:
        soundfile.write(path, voice(4.0, RATE), RATE)
    return path


def problem_of(path: Path) -> str | None:
    with open_audio(path) as decoder:
        for _ in decoder.blocks():
            pass
    return decoder.problem


def test_checksum_is_that_of_the_standard() -> None:
    data = np.random.default_rng(0).bytes(300)

    assert ogg_checksum(data) == slow_checksum(data)


@pytest.mark.parametrize("kind", ["ogg", "ogg opus", "opus", "mp3", "mp2", "caf", "w64", "wav"])
def test_whole_files_are_whole(tmp_path: Path, kind: str) -> None:
    path = made(tmp_path, kind)

    assert damage_of(path) is None
    assert problem_of(path) is None


@pytest.mark.parametrize("kind", ["ogg", "ogg opus", "opus", "mp3", "caf", "w64"])
def test_cut_files_are_said_to_be(tmp_path: Path, kind: str) -> None:
    path = made(tmp_path, kind)
    data = path.read_bytes()
    path.write_bytes(data[: 3 * len(data) // 4 - 1])

    assert str(problem_of(path)).startswith(("cut short", "damaged"))


@pytest.mark.parametrize("kind", ["ogg", "ogg opus", "opus"])
@pytest.mark.parametrize("damage", ["flip", "page left out"])
def test_broken_and_missing_pages_are_said(tmp_path: Path, kind: str, damage: str) -> None:
    path = made(tmp_path, kind)
    data = path.read_bytes()
    pages = [place for place in range(len(data)) if data[place : place + 4] == b"OggS"]
    first, end = pages[-2], pages[-1]
    changed = bytearray(data[:first] + data[end:]) if damage == "page left out" else bytearray(data)
    if damage == "flip":
        changed[(first + end) // 2] ^= 1
    path.write_bytes(changed)

    assert str(damage_of(path)).startswith("damaged: 1 of ")
    assert problem_of(path) is not None


@pytest.mark.parametrize(
    ("first", "skipped", "added"), [(9000, 0, b"no sound" * 40), (9000, 300, b""), (9000, 417, b"no sound" * 50)]
)
def test_gaps_between_frames_are_said(tmp_path: Path, first: int, skipped: int, added: bytes) -> None:
    path = made(tmp_path, "mp3")
    data = path.read_bytes()
    path.write_bytes(data[:first] + added + data[first + skipped :])

    assert "between its" in str(damage_of(path))


def test_tags_and_zeros_are_no_gaps(tmp_path: Path) -> None:
    path = made(tmp_path, "mp3")
    tag = b"ID3\x04\x00\x00\x00\x00\x00\x14" + b"\xff\xfb" * 10
    path.write_bytes(tag + bytes(100) + path.read_bytes() + b"APETAGEX" + bytes(50) + b"TAG" + b"title".ljust(125))

    assert damage_of(path) is None


@pytest.mark.parametrize(
    "rate", [44100, 16000, *(pytest.param(rate, marks=pytest.mark.slow) for rate in (48000, 24000))]
)
@pytest.mark.parametrize("kind", ["no length", "flags of nothing", "joined", "joined, with a tag between"])
def test_mpeg_files_are_read_to_their_end_whatever_they_state(tmp_path: Path, kind: str, rate: int) -> None:
    speech = np.concatenate([voice(0.5, rate), np.zeros(rate, np.float32)])  # the bit rate falls
    path = tmp_path / "x.mp3"
    soundfile.write(path, speech, rate, bitrate_mode="VARIABLE", compression_level=0.2)
    data = path.read_bytes()
    (place,) = (data.find(word) for word in (b"Xing", b"Info") if word in data[:200])
    tag = b"ID3\x04\x00\x00\x00\x00\x00\x14" + bytes(20)
    with path.open("rb") as stream:
        first = mpeg_frames.frame_length(FileBytes(stream), 0)
    changed, times = {
        "no length": (data[first:], 1),
        "flags of nothing": (data[: place + 4] + bytes(8) + data[place + 12 :], 1),
        "joined": (data + data, 2),
        "joined, with a tag between": (data + tag + data, 2),
    }[kind]
    path.write_bytes(changed)

    with open_audio(path) as decoder:
        count = sum(len(block) for block in decoder.blocks())

    assert times * len(speech) - 100 <= count <= times * len(speech) + 4 * 1152


@pytest.mark.parametrize("kind", ["wav", "aiff", "flac", "ogg"])
def test_a_recording_behind_another_is_said(tmp_path: Path, kind: str) -> None:
    path = made(tmp_path, kind)
    assert problem_of(path) is None
    path.write_bytes(2 * path.read_bytes())

    assert problem_of(path) is not None


def test_mpeg_file_that_states_its_length_is_read_by_libsndfile(tmp_path: Path) -> None:
    path = made(tmp_path, "mp3")
    path.write_bytes(path.read_bytes() + b"TAG" + b"title".ljust(125))

    with open_audio(path) as decoder:
        assert decoder.name == "libsndfile"
        assert sum(len(block) for block in decoder.blocks()) == 4 * RATE


def test_empty_and_tiny_files_have_no_container(tmp_path: Path) -> None:
    for size in (0, 1, 26):
        (tmp_path / "x.ogg").write_bytes(b"OggS".ljust(26, b"\0")[:size])

        assert damage_of(tmp_path / "x.ogg") is None


def test_head_of_another_kind_before_the_frames_is_said(tmp_path: Path) -> None:
    path = made(tmp_path, "mp3")
    path.write_bytes(b"FORM" + path.read_bytes()[30:])

    assert "between its" in str(damage_of(path))


def test_header_that_contradicts_itself_is_said(tmp_path: Path) -> None:
    path = made(tmp_path, "wav")
    data = bytearray(path.read_bytes())
    data[25] ^= 1 << 6
    path.write_bytes(data)

    assert "contradicts itself: 96000 bytes a second at 64384 Hz, 128768 expected" in str(problem_of(path))


def test_length_that_contradicts_the_sound_is_said(tmp_path: Path) -> None:
    path = tmp_path / "x.aiff"
    soundfile.write(path, voice(1.0, RATE), RATE)
    data = bytearray(path.read_bytes())
    place = data.index(b"COMM") + 10
    data[place : place + 4] = (RATE // 2).to_bytes(4, "big")
    path.write_bytes(data)

    assert "contradicts itself about its length" in str(problem_of(path))


def test_bytes_of_a_file_are_those_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_bytes, "CHUNK_BYTES", 16)
    rng = np.random.default_rng(0)
    data = bytes(rng.integers(0, 3, 500, dtype=np.uint8)) + bytes(40) + b"xOggS"
    (tmp_path / "x").write_bytes(data)

    with (tmp_path / "x").open("rb") as stream:
        found = file_bytes.FileBytes(stream)

        assert len(found) == len(data)
        for start, stop in rng.integers(0, 600, (200, 2)).tolist():
            assert found[start:stop] == data[start:stop]
            assert found.has_other_than_zeros(start, stop) == any(data[start:stop])
            for word in (b"\2", b"\0\1", b"OggS", b"\0" * 20, b"\3"):
                assert found.find(word, start) == data.find(word, start)


@pytest.mark.skipif(sys.platform != "linux", reason="the limit and files with holes")
@pytest.mark.parametrize("head", [b"RIFF", b"caff\0\1\0\0data" + (3 << 30).to_bytes(8, "big")], ids=["wav", "caf"])
def test_a_recording_of_hours_fits_into_what_a_decoder_may_have(head: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.snd"
    with path.open("wb") as stream:
        stream.write(head)
        stream.truncate((3 << 30) + len(head))
    program = (
        "import sys; from pathlib import Path; from utils.audio.integrity import damage_of; from utils.memory import "
        "limit_this_process; limit_this_process(2 << 30); print(damage_of(Path(sys.argv[1])))"
    )

    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False)

    assert (done.stdout.strip(), done.returncode) == ("None", 0), done.stderr
