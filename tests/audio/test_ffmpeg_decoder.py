"""Recordings of phones and cameras, which libsndfile cannot read."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tests.tools.phone_recordings import write_recording
from utils.audio.decoding import open_audio
from utils.audio.ffmpeg_decoder import BLOCK_SAMPLES, FfmpegDecoder
from utils.audio.io import load_audio
from utils.audio.synthetic_speech import voice
from utils.errors import DataError
from utils.memory import peak_bytes, reset_peak, resident_bytes


def decode(path: Path, start_seconds: float = 0.0) -> tuple[np.ndarray, FfmpegDecoder]:
    decoder = FfmpegDecoder(path, start_seconds)
    try:
        return np.concatenate([*decoder.blocks(), np.zeros((0, decoder.num_channels), np.float32)]), decoder
    finally:
        decoder.close()


@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [
        ("x.m4a", "aac", 44100),
        ("x.mp4", "aac", 48000),
        ("x.webm", "libopus", 48000),
        ("x.mka", "libopus", 48000),
        ("x.aac", "aac", 44100),
        ("x.mov", "alac", 44100),
        ("x.amr", "libopencore_amrnb", 8000),
        ("x.3gp", "libopencore_amrnb", 8000),
        ("x.ac3", "ac3", 48000),
    ],
)
def test_recording_that_libsndfile_cannot_read_is_read(tmp_path: Path, name: str, codec: str, rate: int) -> None:
    sound = voice(2.0, rate)
    write_recording(tmp_path / name, sound, rate, codec)

    with open_audio(tmp_path / name) as decoder:
        decoded = np.concatenate(list(decoder.blocks()))

    assert (decoder.name, decoder.sample_rate, decoder.num_channels) == ("ffmpeg", rate, 1)
    assert (decoder.problem, decoder.is_stuck) == (None, False)
    assert decoded.dtype == np.float32
    assert abs(len(decoded) - len(sound)) < 0.1 * rate  # lossy formats add some silence
    assert np.sqrt(np.mean(decoded**2)) == pytest.approx(np.sqrt(np.mean(sound**2)), rel=0.2)


@pytest.mark.parametrize(("name", "codec"), [("x.flac", "flac"), ("x.mp3", "libmp3lame")])
def test_both_libraries_read_the_same_of_a_file(tmp_path: Path, name: str, codec: str) -> None:
    write_recording(tmp_path / name, voice(1.0, 48000), 48000, codec)

    theirs, _ = decode(tmp_path / name)
    with open_audio(tmp_path / name) as decoder:
        ours = np.concatenate(list(decoder.blocks()))

    assert decoder.name == "libsndfile"
    assert_allclose(theirs[: len(ours)], ours[: len(theirs)], atol=2e-3)


def test_lossless_recording_comes_out_as_it_went_in(tmp_path: Path) -> None:
    sound = np.stack([voice(1.0, 44100), voice(1.0, 44100, seed=1)])
    write_recording(tmp_path / "x.mov", sound, 44100, "alac")

    decoded, _ = decode(tmp_path / "x.mov")

    assert_allclose(decoded.T, sound, atol=2**-15)


def test_sound_of_a_video_is_read(tmp_path: Path) -> None:
    write_recording(tmp_path / "x.mp4", voice(1.0, 44100), 44100, "aac", with_pictures=True)

    decoded, decoder = decode(tmp_path / "x.mp4")

    assert len(decoded) / 44100 == pytest.approx(1.0, abs=0.1)
    assert decoder.problem is None


def test_longer_pictures_do_not_make_a_sound_look_cut(tmp_path: Path) -> None:
    write_recording(tmp_path / "x.mkv", voice(1.0, 44100), 44100, "aac", with_pictures=True)

    assert decode(tmp_path / "x.mkv")[1].problem is None


def test_a_part_begins_at_its_sample(tmp_path: Path) -> None:
    write_recording(tmp_path / "x.m4a", voice(2.0, 44100), 44100, "aac")

    whole, _ = decode(tmp_path / "x.m4a")
    part, _ = decode(tmp_path / "x.m4a", start_seconds=0.5)

    assert_array_equal(part, whole[22050:])


@pytest.mark.slow
def test_long_recording_is_read_in_blocks_of_bounded_memory(tmp_path: Path) -> None:
    write_recording(tmp_path / "first.mov", voice(1.0, 16000), 16000, "alac")
    decode(tmp_path / "first.mov")  # loads the libraries
    write_recording(tmp_path / "x.mov", np.tile(voice(10.0, 16000), 30), 16000, "alac")  # 19 MB decoded
    before = resident_bytes()
    reset_peak()

    with open_audio(tmp_path / "x.mov") as decoder:
        sizes = [len(block) for block in decoder.blocks()]

    assert max(sizes) < BLOCK_SAMPLES + 4096
    assert sum(sizes) == 300 * 16000
    assert peak_bytes() - before < 6e6


@pytest.mark.parametrize(("name", "codec"), [("x.mka", "libopus"), ("x.aac", "aac"), ("x.flac", "flac")])
def test_half_of_a_recording_is_read_with_a_note(tmp_path: Path, name: str, codec: str) -> None:
    write_recording(tmp_path / name, voice(4.0, 48000), 48000, codec)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])

    decoded, decoder = decode(tmp_path / name)

    assert 0.2 < len(decoded) / 48000 < 3
    assert decoder.problem is not None
    assert decoder.problem.startswith(("cut short: ", "damaged: "))


@pytest.mark.slow
def test_recording_with_a_hole_is_read_around_it(tmp_path: Path) -> None:
    write_recording(tmp_path / "x.m4a", voice(4.0, 44100), 44100, "aac")
    data = bytearray((tmp_path / "x.m4a").read_bytes())
    third = len(data) // 3
    data[third : third + len(data) // 8] = b"\x55" * (len(data) // 8)
    (tmp_path / "x.m4a").write_bytes(data)

    decoded, decoder = decode(tmp_path / "x.m4a")

    assert 2.5 < len(decoded) / 44100 < 4
    assert "packet(s) cannot be" in str(decoder.problem)


def test_recording_that_ended_before_its_header_was_written_is_refused(tmp_path: Path) -> None:
    write_recording(tmp_path / "x.m4a", voice(1.0, 44100), 44100, "aac")
    data = (tmp_path / "x.m4a").read_bytes()
    (tmp_path / "x.m4a").write_bytes(data[: len(data) // 2])

    with pytest.raises(DataError, match=r"x\.m4a.*libsndfile.*nor can ffmpeg"):
        load_audio(tmp_path / "x.m4a", 16000)


def test_video_without_sound_is_refused(tmp_path: Path) -> None:
    import av

    with av.open(str(tmp_path / "x.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for part in (av.VideoFrame(32, 32, "yuv420p"), None):
            container.mux(stream.encode(part))

    with pytest.raises(DataError, match="no sound track"):
        FfmpegDecoder(tmp_path / "x.mp4")


PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:2,\n{sound}\n#EXT-X-ENDLIST\n"
DESCRIPTION = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.m3u8", PLAYLIST),
        ("list.m4a", PLAYLIST),
        ("script.wav", "ffconcat version 1.0\nfile '{sound}'\n"),
        ("script.ffconcat", "ffconcat version 1.0\nfile '{sound}'\n"),
        ("session.sdp", DESCRIPTION),
    ],
)
def test_text_that_names_other_files_is_refused(tmp_path: Path, name: str, text: str) -> None:
    write_recording(tmp_path / "x.aac", voice(1.0, 44100), 44100, "aac")
    (tmp_path / name).write_text(text.format(sound="x.aac"))

    with pytest.raises(DataError, match="ffmpeg"):
        FfmpegDecoder(tmp_path / name)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names of files are text")
def test_name_that_is_no_utf8_is_opened(tmp_path: Path) -> None:
    write_recording(tmp_path / "x.m4a", voice(1.0, 44100), 44100, "aac")
    name = os.fsencode(tmp_path) + b"/caf\xe9.m4a"
    os.rename(tmp_path / "x.m4a", name)  # noqa: PTH104

    assert len(load_audio(Path(os.fsdecode(name)), 16000)) == pytest.approx(16000, abs=1600)


def test_headerless_format_is_read_where_it_is_named(tmp_path: Path) -> None:
    write_recording(tmp_path / "x.g722", voice(1.0, 16000), 16000, "g722")

    decoder = FfmpegDecoder(tmp_path / "x.g722", headerless="g722")
    decoded = sum(len(block) for block in decoder.blocks())
    decoder.close()

    assert (decoder.sample_rate, decoded) == (16000, 16000)
    with pytest.raises(DataError, match="ffmpeg"):
        FfmpegDecoder(tmp_path / "x.g722")
