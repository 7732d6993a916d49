"""What no recording is: absurd headers, hours in a few bytes, files that name other files, samples beyond bounds."""

import logging
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from numpy.testing import assert_array_equal

from benchmarks.damaged_audio import SCRIPTS
from tests.tools.made_headers import float_wav, movie_of, wav
from utils.audio.decoder import longest_seconds
from utils.audio.decoding import open_audio
from utils.audio.io import load_audio
from utils.audio.mono import Mixer
from utils.audio.synthetic_speech import silence, voice
from utils.errors import DataError
from utils.memory import peak_bytes, reset_peak

RATE = 16000
NOISE = np.random.default_rng(0).bytes(20000)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ({"sample_rate": 1}, "its header says 1 Hz, allowed are 4000 to 768000"),
        ({"sample_rate": 3999}, "3999 Hz"),
        ({"sample_rate": 768001}, "768001 Hz"),
        ({"sample_rate": 2**31 - 1}, "2147483647 Hz"),
        ({"channels": 65}, "it has 65 channels, allowed are 1 to 64"),
        ({"channels": 1000}, "1000 channels"),
        ({"channels": 0}, "it has 0 channels"),
        ({"sample_rate": 0}, "not a sound file|0 Hz"),
    ],
)
def test_absurd_header_is_one_line(tmp_path: Path, header: dict[str, Any], words: str) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(wav(NOISE, **header))

    with pytest.raises(DataError, match=words) as caught, open_audio(path):
        pass

    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("rate", [4000, 768_000])
def test_rates_of_recordings_are_read(tmp_path: Path, rate: int) -> None:
    (tmp_path / "x.wav").write_bytes(wav(NOISE, sample_rate=rate))

    assert abs(len(load_audio(tmp_path / "x.wav", RATE)) - 10000 * RATE / rate) <= 1


def test_hours_in_a_few_bytes_are_not_decoded(tmp_path: Path) -> None:
    path = tmp_path / "x.flac"
    with soundfile.SoundFile(path, "w", 4000, 1, subtype="PCM_16") as file:
        for _ in range(90):
            file.write(np.zeros(4000 * 60, np.int16))
    assert path.stat().st_size < 100_000

    with pytest.raises(DataError, match=r"x\.flac holds more than \d+ minutes of sound in \d+ bytes, which is no"):
        load_audio(path, RATE)


def test_longest_sound_follows_the_size_of_the_file() -> None:
    assert longest_seconds(200_000) < 3600 < 24 * 3600
    assert longest_seconds(10 * 3600 * 600) > 10 * 3600  # ten hours of AMR at its least
    assert longest_seconds(10**12) == 48 * 3600


@pytest.mark.parametrize("suffix", [".wav", ".mp3", ".m4a"])
@pytest.mark.parametrize("script", range(len(SCRIPTS)))
def test_files_that_name_other_files_are_refused(tmp_path: Path, script: int, suffix: str) -> None:
    soundfile.write(tmp_path / "secret.mp3", voice(1.0, RATE), RATE)
    path = tmp_path / f"song{suffix}"
    path.write_text(SCRIPTS[script].format(path=tmp_path / "secret.mp3"))

    with pytest.raises(DataError, match="not a sound file"):
        load_audio(path, RATE)


def test_sound_of_a_movie_in_another_file_is_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.wav"
    soundfile.write(secret, voice(1.0, RATE), RATE)
    for name in (str(secret), "secret.wav"):
        (tmp_path / "x.mov").write_bytes(movie_of(name))

        with pytest.raises(DataError, match=r"nothing could be decoded|not a sound file"):
            load_audio(tmp_path / "x.mov", RATE)


def test_movie_of_another_file_would_be_read_by_a_decoder_that_is_let(tmp_path: Path) -> None:
    secret = tmp_path / "secret.wav"
    soundfile.write(secret, voice(1.0, RATE), RATE)
    (tmp_path / "x.mov").write_bytes(movie_of(str(secret)))

    options = {"enable_drefs": "1", "use_absolute_path": "1"}
    with av.open(str(tmp_path / "x.mov"), options=options) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) > 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1001.0, -1e30])
def test_broken_samples_become_zero_and_are_said(tmp_path: Path, bad: float, caplog: pytest.LogCaptureFixture) -> None:
    sound = voice(0.5, RATE)
    sound[100] = bad
    (tmp_path / "x.wav").write_bytes(float_wav(sound, RATE))

    with caplog.at_level(logging.WARNING):
        loaded = load_audio(tmp_path / "x.wav", RATE)

    sound[100] = 0
    assert_array_equal(loaded, sound)
    assert "x.wav: 1 samples are not finite or beyond +60 dBFS: set to 0" in caplog.text


def test_recording_of_broken_samples_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(float_wav(30000 * voice(0.5, RATE), RATE))  # written as if it were 16-bit

    with pytest.raises(DataError, match=r"x\.wav is no recording: \d+ of 8000 samples are not finite or"):
        load_audio(tmp_path / "x.wav", RATE)


def test_cut_recording_is_read_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "x.wav").write_bytes(wav(NOISE)[:10044])

    with caplog.at_level(logging.WARNING):
        loaded = load_audio(tmp_path / "x.wav", RATE)

    assert len(loaded) == 5000
    assert "x.wav: cut short" in caplog.text


def test_mixer_takes_the_mean_of_the_channels() -> None:
    mono = Mixer(2, RATE).mix(np.array([[0.5, 0.1], [-0.2, 0.4]], np.float32))

    np.testing.assert_allclose(mono, [0.3, 0.1], rtol=1e-6)


def test_mixer_names_the_loudest_channel_where_they_cancel(tmp_path: Path) -> None:
    sound = voice(0.2)
    mixer = Mixer(2, RATE)
    mixer.mix(np.stack([sound, -0.99 * sound], axis=1))

    assert mixer.cancelled() == 0

    soundfile.write(tmp_path / "x.wav", np.stack([sound, -0.99 * sound], axis=1), RATE, subtype="FLOAT")
    assert_array_equal(load_audio(tmp_path / "x.wav", RATE), sound)


def test_sound_on_one_channel_only_is_not_taken_for_cancellation() -> None:
    sound = voice(0.2)
    mixer = Mixer(2, RATE)

    mono = mixer.mix(np.stack([silence(0.2), sound], axis=1))

    np.testing.assert_allclose(mono, sound / 2)
    assert mixer.cancelled() is None


def test_mixer_joins_broken_samples_to_stretches_across_blocks() -> None:
    mixer = Mixer(1, RATE)
    for _ in range(2):
        block = np.zeros((4000, 1), np.float32)
        block[[0, 10, 3999]] = np.nan
        mixer.mix(block)

    assert mixer.num_broken == 6
    assert mixer.broken == [(0, 11), (3999, 4011), (7999, 8000)]


def test_memory_of_reading_is_that_of_the_result(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    with soundfile.SoundFile(path, "w", 48000, 2, subtype="PCM_16") as file:
        for _ in range(120):
            file.write(np.full((48000, 2), 0.1, np.float32))
    load_audio(path, RATE, duration_seconds=1.0)
    reset_peak()
    before = peak_bytes()

    loaded = load_audio(path, RATE)

    assert peak_bytes() - before < 2.2 * loaded.nbytes + 8e6  # 46 MB came in, 8 went out
