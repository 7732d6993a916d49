"""Files through a pipeline: any format in and out, as long as the source, in bounded memory, whole or not at all."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.tools.planted_graphs import RATE, node, write
from utils.audio.decoder_process import read_tags
from utils.audio.decoding import open_audio
from utils.audio.synthetic_speech import voice
from utils.audio.writing import SOUND_FORMATS, open_writer
from utils.inference import VoiceConversionPipeline
from utils.inference.errors import GraphFailedError, InvalidAudioError, InvalidParameterError, OutputError
from utils.inference.options import Progress


@pytest.fixture
def pipeline(tmp_path: Path) -> VoiceConversionPipeline:
    """Return a voice that rectifies."""
    return VoiceConversionPipeline(write(tmp_path))


def stereo(path: Path, seconds: float = 0.5, rate: int = 44100) -> np.ndarray:
    audio = np.stack([voice(seconds, rate), 0.5 * voice(seconds, rate, seed=1)], axis=1)
    soundfile.write(path, audio, rate, subtype="FLOAT")
    return audio


@pytest.mark.parametrize("name", ["wav24", "flac", "mp3", "opus", "m4a"])
def test_formats_are_chosen_and_lengths_kept(tmp_path: Path, pipeline: VoiceConversionPipeline, name: str) -> None:
    audio = stereo(tmp_path / "x.wav")
    kind = SOUND_FORMATS[name]
    place = tmp_path / "out" / f"x{kind.suffix}"

    made = pipeline.convert_file(tmp_path / "x.wav", place, output_format=name)

    with open_audio(place) as decoder:
        found = np.concatenate(list(decoder.blocks()))
        assert (decoder.sample_rate, decoder.num_channels) == (kind.rate_for(44100), 1)
    expected = round(len(audio) * kind.rate_for(44100) / 44100)
    assert 0 <= len(found) - expected < (1 if name != "m4a" else 1024)
    assert (made.original_rate, made.original_channels, made.num_channels) == (44100, 2, 1)
    assert made.seconds == pytest.approx(0.5)


def test_file_is_what_convert_gives(tmp_path: Path, pipeline: VoiceConversionPipeline) -> None:
    audio = stereo(tmp_path / "x.wav", rate=RATE)

    pipeline.convert_file(tmp_path / "x.wav", tmp_path / "y.wav", output_format="wav32f", channels="keep")

    found, rate = soundfile.read(tmp_path / "y.wav")
    assert rate == RATE
    np.testing.assert_allclose(found, pipeline.convert(audio, RATE, channels="keep"), atol=1e-7)


def test_tags_are_kept_unless_unwanted(tmp_path: Path, pipeline: VoiceConversionPipeline) -> None:
    tags = {"title": "Song", "artist": "Alice"}
    with open_writer(tmp_path / "x.mp3", SOUND_FORMATS["mp3"], sample_rate=24000, tags=tags) as write_sound:
        write_sound(voice(0.3, 24000))

    assert pipeline.convert_file(tmp_path / "x.mp3", tmp_path / "a.flac").tags == tags
    pipeline.convert_file(tmp_path / "x.mp3", tmp_path / "b.flac", keeps_tags=False)

    assert read_tags(tmp_path / "a.flac") == tags
    assert read_tags(tmp_path / "b.flac") == {}


def test_silence_is_kept_to_the_sample(tmp_path: Path, pipeline: VoiceConversionPipeline) -> None:
    audio = np.concatenate([np.zeros(4001), voice(0.5, RATE), np.zeros(4001)])
    soundfile.write(tmp_path / "x.wav", audio, RATE)

    pipeline.convert_file(tmp_path / "x.wav", tmp_path / "y.wav")

    found, _ = soundfile.read(tmp_path / "y.wav")
    assert len(found) == len(audio)
    assert not found[:4001].any() and not found[-4001:].any()


def test_nothing_is_written_when_something_fails(tmp_path: Path, pipeline: VoiceConversionPipeline) -> None:
    stereo(tmp_path / "x.wav")
    (tmp_path / "text.wav").write_text("no sound")
    (tmp_path / "nan").mkdir()
    broken = VoiceConversionPipeline(
        write(tmp_path / "nan", node("Mul", "sound", "nan"), constants={"nan": np.float32(np.nan)})
    )

    with pytest.raises(GraphFailedError, match="not finite"):
        broken.convert_file(tmp_path / "x.wav", tmp_path / "out.wav")
    with pytest.raises(InvalidAudioError, match="is not a sound file"):
        pipeline.convert_file(tmp_path / "text.wav", tmp_path / "out.wav")
    with pytest.raises(InvalidParameterError, match="its name must end with"):
        pipeline.convert_file(tmp_path / "x.wav", tmp_path / "out.doc")
    with pytest.raises(OutputError, match=r"text\.wav"):
        pipeline.convert_file(tmp_path / "x.wav", tmp_path / "text.wav" / "out.wav")

    assert not (tmp_path / "out.wav").exists()
    assert pipeline.statistics().num_failures == 3


def test_progress_of_a_file_goes_through_its_channels(tmp_path: Path, pipeline: VoiceConversionPipeline) -> None:
    stereo(tmp_path / "x.wav")
    told: list[Progress] = []

    pipeline.convert_file(tmp_path / "x.wav", tmp_path / "y.wav", channels="keep", progress_callback=told.append)

    assert [(item.stage, item.share) for item in told] == [("convert", 0.5), ("convert", 1.0), ("write", 1.0)]
