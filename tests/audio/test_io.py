"""Sound files in and out."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.testing import assert_allclose, assert_array_equal

from utils.audio.decoding import open_audio
from utils.audio.io import (
    augment_audio,
    float_to_int16,
    int16_to_float,
    load_audio,
    save_audio,
)
from utils.audio.synthetic_speech import silence, voice
from utils.errors import DataError

RATE = 16000


def rms(audio: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(audio))))


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "aiff", "au", "w64", "caf"])
def test_load_audio_reads_format_at_wanted_rate(tmp_path: Path, suffix: str) -> None:
    sound = voice(1.0, 44100)
    soundfile.write(tmp_path / f"x.{suffix}", sound, 44100)

    loaded = load_audio(tmp_path / f"x.{suffix}", RATE)

    assert loaded.dtype == np.float32
    assert abs(len(loaded) - RATE) < 0.1 * RATE  # lossy formats add some silence
    assert rms(loaded) == pytest.approx(rms(sound), rel=0.15)


def test_load_audio_reads_a_part(tmp_path: Path) -> None:
    sound = voice(2.0)
    soundfile.write(tmp_path / "x.wav", sound, RATE, subtype="FLOAT")

    part = load_audio(tmp_path / "x.wav", RATE, offset_seconds=0.5, duration_seconds=0.25)

    assert_array_equal(part, sound[RATE // 2 : RATE * 3 // 4])


def test_samples_that_are_not_finite_become_zero(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", np.array([0.5, np.nan, np.inf, -0.5], np.float32), RATE, subtype="FLOAT")

    assert_array_equal(load_audio(tmp_path / "x.wav", RATE), np.array([0.5, 0, 0, -0.5], np.float32))


def test_text_named_wav_is_refused_naming_both_decoders(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_text("no sound at all\n" * 20)

    with pytest.raises(DataError, match=r"x\.wav.*libsndfile.*ffmpeg"):
        load_audio(tmp_path / "x.wav", RATE)


@pytest.mark.parametrize("content", [None, b""])
def test_missing_or_empty_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "x.wav").write_bytes(content)

    with pytest.raises(DataError, match=r"does not exist|empty"):
        load_audio(tmp_path / "x.wav", RATE)


def test_truncated_flac_gives_what_decodes(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "whole.flac", voice(4.0), RATE)
    data = (tmp_path / "whole.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(data[: len(data) // 2])

    assert 0.5 * RATE < len(load_audio(tmp_path / "cut.flac", RATE)) < 3.5 * RATE


@pytest.mark.parametrize("suffix", ["wav", "aiff", "flac"])
def test_decoder_reports_how_much_of_a_truncated_file_is_there(tmp_path: Path, suffix: str) -> None:
    soundfile.write(tmp_path / f"whole.{suffix}", voice(4.0), RATE)
    data = (tmp_path / f"whole.{suffix}").read_bytes()
    (tmp_path / f"cut.{suffix}").write_bytes(data[: len(data) // 2])

    with open_audio(tmp_path / f"cut.{suffix}") as decoder:
        for _ in decoder.blocks():
            pass

    assert decoder.problem is not None


def test_header_of_a_streaming_program_is_no_damage(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", voice(1.0), RATE)
    data = bytearray((tmp_path / "x.wav").read_bytes())
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"  # length unknown when writing to a pipe began
    (tmp_path / "x.wav").write_bytes(data)

    with open_audio(tmp_path / "x.wav") as decoder:
        decoded = sum(len(block) for block in decoder.blocks())

    assert (decoded, decoder.problem) == (RATE, None)


def test_save_audio_counts_clipped_samples_and_round_trips(tmp_path: Path) -> None:
    sound = np.array([0.0, 0.5, -0.25, 1.5, -2.0], np.float32)

    clipped = save_audio(tmp_path / "new" / "x.wav", sound, RATE)

    assert clipped == 2
    assert_allclose(load_audio(tmp_path / "new" / "x.wav", RATE)[:3], sound[:3], atol=1e-4)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["x.wav"]


def test_sixteen_bit_values_survive_the_way_to_float_and_back() -> None:
    values = np.arange(-32767, 32768, dtype=np.int16)

    assert_array_equal(float_to_int16(int16_to_float(values)), values)


def test_augmentation_depends_only_on_its_generator() -> None:
    sound = voice(0.3)

    first, second = (augment_audio(sound, RATE, np.random.default_rng(3), speed_range=(0.9, 1.1)) for _ in range(2))

    assert_array_equal(first, second)


def test_augmentation_leaves_silence_silent() -> None:
    changed = augment_audio(silence(0.1), RATE, np.random.default_rng(0))

    assert not changed.any()
