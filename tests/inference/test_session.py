"""Running exported voices without torch: session, pipeline and figures."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
from onnx import TensorProto, helper

from tests.tools.standin_voice import HOP, RATE, export_standin
from utils.audio.decoding import SOUND_SUFFIXES
from utils.audio.synthetic_speech import voice
from utils.config.arguments import spell
from utils.corpus.sources import find_sources
from utils.errors import ConfigError, DataError, FormatError
from utils.inference.measures import (
    Pitch,
    PitchMeter,
    automatic_shift,
    compare_pitch,
    measure_level,
    measure_speed,
    wrong_lengths,
)
from utils.inference.pipeline import convert, find_recordings, output_paths, segments
from utils.inference.session import VoiceSession
from utils.inference.source import ArraySound, read_source


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> VoiceSession:
    return VoiceSession.open(export_standin(tmp_path_factory.mktemp("voice")).path)


def foreign_graph(path: Path, inputs: tuple[str, ...] = ("audio",)) -> Path:
    """Write a graph that halves its first input and has no metadata."""
    shape = ["batch", "time"]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in inputs]
    nodes = [helper.make_node("Mul", [inputs[0], "half"], ["output"])]
    half = helper.make_tensor("half", TensorProto.FLOAT, [], [0.5])
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "g", values, [output], [half])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


def test_session_knows_what_the_exporter_stored(session: VoiceSession) -> None:
    assert session.sample_rate == RATE
    assert session.name == "test"
    assert session.speakers == ["speaker 0", "speaker 1"]
    assert [value.name for value in session.inputs] == ["audio"]
    assert len(session.overridable) == 5
    assert wrong_lengths(session) == []


def test_a_row_and_a_batch_come_back_in_their_shape(session: VoiceSession) -> None:
    audio = voice(0.5, RATE)

    assert session.run(audio).shape == audio.shape
    assert session.run(np.stack([audio, audio])).shape == (2, len(audio))


def test_controls_reach_the_graph(session: VoiceSession) -> None:
    audio = voice(0.5, RATE)

    assert not np.allclose(session.run(audio), session.run(audio, {"speaker_id": 1, "pitch_shift": 3}))


@pytest.mark.parametrize(
    ("controls", "message"),
    [
        ({"index_rate": 2.0}, "index_rate=2 is out of range; allowed: between 0 and 1"),
        ({"speaker_id": 2}, "speaker_id=2 is out of range; allowed: between 0 and 1"),
        ({"volume": 1.0}, "volume is no control; allowed: pitch_shift"),
    ],
)
def test_impossible_controls_are_refused(session: VoiceSession, controls: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        session.check_controls(controls)


def test_a_graph_of_another_program_is_used_by_its_file_name(tmp_path: Path) -> None:
    foreign = VoiceSession.open(foreign_graph(tmp_path / "x_sr16000_hop160_nfft640.onnx"))

    assert (foreign.sample_rate, foreign.metadata, foreign.speakers) == (16000, None, [])
    np.testing.assert_array_equal(foreign.run(np.ones(3, np.float32)), np.full(3, 0.5, np.float32))
    with pytest.raises(ConfigError, match="pitch_shift=1 cannot be set"):
        foreign.check_controls({"pitch_shift": 1.0})


def test_graphs_that_cannot_be_used_are_one_line(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged_sr16000_hop160_nfft640.onnx"
    damaged.write_bytes(b"nothing")
    unnamed = foreign_graph(tmp_path / "unnamed.onnx")
    demanding = foreign_graph(tmp_path / "two_sr16000_hop160_nfft640.onnx", ("audio", "noise"))

    for path, message in (
        (tmp_path / "absent.onnx", "does not exist"),
        (damaged, "cannot be loaded by onnxruntime"),
        (unnamed, "is not named <name>_sr"),
        (demanding, "it requires audio tensor.*noise"),
    ):
        with pytest.raises(FormatError, match=message) as caught:
            VoiceSession.open(path)
        assert "\n" not in str(caught.value)


def test_long_audio_is_cut_where_it_is_quiet() -> None:
    audio = np.ones(70 * RATE, np.float32)
    for second in (27, 52):
        audio[second * RATE : second * RATE + RATE // 10] = 0

    pieces = list(segments(ArraySound(audio), RATE))

    assert [start for start, _ in pieces[1:]] == [end for _, end in pieces[:-1]]
    assert pieces[0][0] == 0
    assert pieces[-1][1] == len(audio)
    assert 27 * RATE <= pieces[0][1] <= 27.1 * RATE
    assert 52 * RATE <= pieces[1][1] <= 52.1 * RATE


def test_pieces_of_long_audio_join_without_an_edge(tmp_path: Path) -> None:
    halving = VoiceSession.open(foreign_graph(tmp_path / "x_sr8000_hop80_nfft320.onnx"))
    audio = np.random.default_rng(0).standard_normal(75 * RATE + 3).astype(np.float32)

    np.testing.assert_allclose(convert(halving, audio), 0.5 * audio, rtol=1e-5, atol=1e-6)


def test_recordings_of_any_rate_and_channels_become_mono_at_the_graphs_rate(tmp_path: Path) -> None:
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.stack([voice(1.0, 44100)] * 2, axis=1), 44100)

    source = read_source(path, RATE)

    assert (source.original_rate, source.original_channels, source.problem) == (44100, 2, None)
    assert source.samples.shape == (RATE,)


def test_a_cut_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "cut.wav"
    soundfile.write(path, voice(3.0, RATE), RATE)
    path.write_bytes(path.read_bytes()[:20000])

    source = read_source(path, RATE)

    assert source.problem is not None
    assert "cut short" in source.problem


def test_only_sound_files_of_a_folder_are_taken(tmp_path: Path) -> None:
    for name in ("b.wav", "sub/a.FLAC", "notes.txt", ".hidden.wav", ".git/c.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    assert [path.name for path in find_recordings(tmp_path)] == ["b.wav", "a.FLAC"]


def test_a_folder_gives_what_a_dataset_of_it_would_hold(tmp_path: Path) -> None:
    for suffix in SOUND_SUFFIXES:
        (tmp_path / f"a{suffix}").touch()
    (tmp_path / "gone.wav").symlink_to(tmp_path / "nowhere")

    listing = find_sources(tmp_path, None, exclude=tmp_path / "datasets")

    assert find_recordings(tmp_path) == sorted(item.path for item in listing.files)
    assert {".wave", ".aifc", ".snd", ".rf64", ".mkv", ".mov", ".tta", ".voc", ".gsm"} <= SOUND_SUFFIXES


def test_a_folder_without_sound_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()

    with pytest.raises(DataError, match="holds no sound file"):
        find_recordings(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        find_recordings(tmp_path / "absent")


def test_outputs_keep_folders_and_never_meet(tmp_path: Path) -> None:
    sources = [tmp_path / "a.wav", tmp_path / "a.mp3", tmp_path / "sub" / "a.wav"]

    places = output_paths(sources, tmp_path, Path("out"))

    assert list(places.values()) == [Path("out/a.wav.wav"), Path("out/a.mp3.wav"), Path("out/sub/a.wav")]


def test_an_output_named_after_its_whole_source_does_not_meet_another(tmp_path: Path) -> None:
    sources = [tmp_path / name for name in ("x.flac", "x.wav", "x.wav.mp3", "y.wav.mp3")]

    places = output_paths(sources, tmp_path, Path("out"))

    names = ["x.flac.wav", "x.wav.wav", "x.wav.mp3.wav", "y.wav.wav"]
    assert list(places.values()) == [Path("out", name) for name in names]


def test_an_output_over_a_recording_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "a.wav"
    source.touch()

    with pytest.raises(ConfigError, match="would overwrite a recording"):
        output_paths([source], source, source)
    with pytest.raises(ConfigError, match="is one file, but"):
        output_paths([source], tmp_path, tmp_path / "x.wav")


def test_pitch_of_a_shifted_voice_correlates_and_tells_the_shift() -> None:
    meter = PitchMeter()
    low, high = (meter.track(voice(3.0, 16000, f0_hz=f0_hz), 16000) for f0_hz in (120.0, 240.0))

    agreement = compare_pitch(low, high)

    assert agreement.correlation is not None
    assert agreement.correlation > 0.95
    assert agreement.shift_semitones == pytest.approx(12, abs=0.3)
    assert automatic_shift(low, 2 * (low.median_hz or 0)) == 12


def test_pitch_of_silence_is_not_compared() -> None:
    silent = Pitch(np.zeros(50))

    agreement = compare_pitch(silent, silent)

    assert (agreement.correlation, agreement.shift_semitones, agreement.num_frames) == (None, None, 0)
    assert automatic_shift(silent, 200.0) == 0


def test_level_counts_clipped_samples() -> None:
    level = measure_level(np.array([0.5, -0.5, 1.5, -1.0], np.float32))

    assert level.num_clipped == 1
    assert level.peak_db == pytest.approx(20 * np.log10(1.5))
    assert measure_level(np.zeros(0, np.float32)).rms_db == -120.0


def test_speed_is_measured_on_the_shortest_audio_too(session: VoiceSession) -> None:
    speed = measure_speed(session, voice(0.01, RATE)[: HOP // 2])

    assert speed.num_threads == 1
    assert 0 < speed.real_time_factor < 5
    assert speed.block_milliseconds > 0


@pytest.mark.parametrize(
    ("typed", "given"),
    [
        ("audio=x y (1), [z].wav", "audio.path='x y (1), [z].wav'"),
        ("onnx=it's.onnx", "onnx='it\\'s.onnx'"),
        ("audio='quoted'", "audio.path='quoted'"),
        ("audio=", "audio.path="),
        ("report=null", "report=null"),
        ("pitch_shift=-3", "pitch_shift=-3"),
        ("--help", "--help"),
    ],
)
def test_paths_reach_hydra_whole(typed: str, given: str) -> None:
    assert spell([typed], ("audio", "onnx", "report"), renamed={"audio": "audio.path"}) == [given]
