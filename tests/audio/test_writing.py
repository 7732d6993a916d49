"""Sound files of the usual formats: to the sample, whole or not at all, with tags."""

from pathlib import Path

import numpy as np
import pytest

from utils.audio.decoder_process import read_tags
from utils.audio.decoding import open_audio
from utils.audio.synthetic_speech import voice
from utils.audio.writing import SOUND_FORMATS, open_writer, sound_format
from utils.errors import DataError

RATE = 24000
AUDIO = np.stack([voice(0.7, RATE)[:-5], voice(0.7, RATE, seed=1)[:-5]], axis=1).astype(np.float32)
TAGS = {"title": "Žofie (2)", "artist": "Alice", "comment": "a; b"}
LARGEST_ERROR = {"wav": 1 / 32767, "flac": 1 / 32767, "wav24": 2e-7, "flac24": 2e-7, "wav32f": 0.0}


def read(path: Path) -> tuple[np.ndarray, int]:
    with open_audio(path) as decoder:
        return np.concatenate(list(decoder.blocks())), decoder.sample_rate


@pytest.mark.parametrize("name", SOUND_FORMATS)
def test_every_format_keeps_length_channels_and_tags(tmp_path: Path, name: str) -> None:
    kind = SOUND_FORMATS[name]
    path = tmp_path / "new" / f"x{kind.suffix}"

    with open_writer(path, kind, sample_rate=RATE, num_channels=2, tags=TAGS) as write:
        write(AUDIO[:1001])
        write(AUDIO[1001:])

    found, rate = read(path)
    assert rate == RATE
    if name != "m4a":
        assert found.shape == AUDIO.shape
    assert 0 <= len(found) - len(AUDIO) < 1024
    difference = found[: len(AUDIO)] - AUDIO
    if name in LARGEST_ERROR:
        assert np.abs(difference).max() <= LARGEST_ERROR[name]
    assert np.sqrt((difference**2).mean() / (AUDIO**2).mean()) < 0.3
    assert read_tags(path) == TAGS


def test_what_is_beyond_full_scale_is_cut_but_of_floats(tmp_path: Path) -> None:
    loud = np.array([1.5, -1.5, 0.25], np.float32)

    for name, expected in (("wav", [1, -1, 0.25]), ("wav24", [1, -1, 0.25]), ("wav32f", [1.5, -1.5, 0.25])):
        with open_writer(tmp_path / f"{name}.wav", SOUND_FORMATS[name], sample_rate=RATE) as write:
            write(loud)
        np.testing.assert_allclose(read(tmp_path / f"{name}.wav")[0][:, 0], expected, atol=1e-4)


def test_a_file_that_is_not_finished_is_not_there_and_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "x.flac"
    path.write_bytes(b"old")

    with pytest.raises(KeyError), open_writer(path, SOUND_FORMATS["flac"], sample_rate=RATE) as write:
        write(AUDIO[:, 0])
        raise KeyError

    assert [(item.name, item.read_bytes()) for item in tmp_path.iterdir()] == [("x.flac", b"old")]


def test_format_follows_from_the_ending_or_is_named() -> None:
    assert sound_format(None, Path("a.OPUS")) is SOUND_FORMATS["opus"]
    assert sound_format(None, Path("a.wav")) is SOUND_FORMATS["wav"]
    assert sound_format("wav24", Path("a.wav")) is SOUND_FORMATS["wav24"]
    with pytest.raises(DataError, match=r"must end with one of \.wav, \.flac, \.mp3"):
        sound_format(None, Path("a.xyz"))
    with pytest.raises(DataError, match="format=aiff is unknown; allowed: wav"):
        sound_format("aiff", Path("a.aiff"))


def test_rates_that_a_format_lacks_become_the_next(tmp_path: Path) -> None:
    assert [SOUND_FORMATS["opus"].rate_for(rate) for rate in (22050, 24000, 44100, 96000)] == [
        24000,
        24000,
        48000,
        48000,
    ]
    assert SOUND_FORMATS["wav"].rate_for(12345) == 12345


def test_too_many_channels_and_full_disks_are_one_line(tmp_path: Path) -> None:
    three = open_writer(tmp_path / "x.mp3", SOUND_FORMATS["mp3"], sample_rate=RATE, num_channels=3)
    with pytest.raises(DataError, match="cannot have 3 channels; mix them"), three:
        pass
    (tmp_path / "file").touch()
    below = open_writer(tmp_path / "file" / "x.wav", SOUND_FORMATS["wav"], sample_rate=RATE)
    with pytest.raises(DataError, match="file"), below:
        pass
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def test_files_without_tags_have_none(tmp_path: Path) -> None:
    with open_writer(tmp_path / "x.wav", SOUND_FORMATS["wav"], sample_rate=RATE) as write:
        write(AUDIO[:, 0])
    (tmp_path / "text.wav").write_text("no sound")

    assert read_tags(tmp_path / "x.wav") == read_tags(tmp_path / "text.wav") == {}
