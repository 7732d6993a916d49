"""VoiceConversionPipeline: what programs may rely on."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tools.planted_graphs import RATE, node, write
from tests.tools.standin_voice import export_standin
from utils.audio.synthetic_speech import voice
from utils.errors import WorkbenchError
from utils.inference import VoiceConversionPipeline
from utils.inference import errors as kinds
from utils.inference.devices import PROVIDERS, find_device
from utils.inference.options import Progress
from utils.inference.pipeline import GRID_SECONDS, piece_bounds
from utils.inference.session import VoiceSession


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> VoiceConversionPipeline:
    return VoiceConversionPipeline(export_standin(tmp_path_factory.mktemp("voice")).path)


def planted(folder: Path, *nodes: Any, **constants: Any) -> VoiceConversionPipeline:
    return VoiceConversionPipeline(write(folder, *nodes, constants=constants))


def test_result_is_that_of_the_graph(pipeline: VoiceConversionPipeline) -> None:
    audio = voice(1.0, RATE)

    made = pipeline.convert(audio, RATE, speaker="speaker 1", index_rate=0.2)

    session = VoiceSession.open(pipeline.session.path)
    np.testing.assert_array_equal(made, session.run(audio, {"speaker_id": 1, "index_rate": 0.2, "pitch_shift": 0.0}))


@pytest.mark.parametrize(("rate", "output_rate"), [(44100, None), (48000, 16000), (11025, 48000)])
def test_length_is_kept_to_the_sample_at_any_rate(
    pipeline: VoiceConversionPipeline, rate: int, output_rate: int | None
) -> None:
    audio = voice(0.51, rate)[:-7]

    made = pipeline.convert(audio, rate, output_sample_rate=output_rate)

    assert made.shape == (round(len(audio) * (output_rate or rate) / rate),)


def test_channels_are_mixed_or_kept(tmp_path: Path) -> None:
    rectified = planted(tmp_path)
    left, right = voice(0.2, RATE), voice(0.2, RATE, seed=1)
    stereo = np.stack([left, right], axis=1)

    np.testing.assert_allclose(rectified.convert(stereo, RATE), np.abs((left + right) / 2), atol=1e-6)
    np.testing.assert_allclose(rectified.convert(stereo, RATE, channels="keep"), np.abs(stereo), atol=1e-6)


def test_whole_numbers_are_full_scale_and_silence_stays(tmp_path: Path) -> None:
    rectified = planted(tmp_path)

    made = rectified.convert(np.array([0, -(2**15), 2**14] + [0] * 90, np.int16), RATE)

    np.testing.assert_allclose(made, [0, 1, 0.5] + [0] * 90, atol=1e-6)


def test_automatic_shift_is_the_one_of_the_recording(tmp_path: Path) -> None:
    with VoiceConversionPipeline(export_standin(tmp_path).path) as pipeline:
        audio = voice(2.0, RATE, f0_hz=61.0)

        made = pipeline.convert(audio, RATE, pitch_shift_semitones="auto_octave")

        others = [pipeline.convert(audio, RATE, pitch_shift_semitones=shift) for shift in (0, 12, 24)]
        assert [bool(np.array_equal(made, other)) for other in others].count(True) == 1
        assert not np.array_equal(made, others[0])


@pytest.mark.parametrize(
    ("audio", "rate", "kind", "message"),
    [
        (np.zeros(0, np.float32), RATE, kinds.InvalidAudioError, "empty"),
        (np.zeros((2, 100), np.float32), RATE, kinds.InvalidAudioError, "samples come first"),
        (np.zeros((1, 1, 9), np.float32), RATE, kinds.InvalidAudioError, r"give an array \[samples\]"),
        (np.zeros(9, np.uint8), RATE, kinds.InvalidAudioError, "of type uint8"),
        (np.full(999, np.nan, np.float32), RATE, kinds.InvalidAudioError, "999 of 999 samples"),
        (np.zeros(9, np.float32), 100, kinds.InvalidAudioError, "sample_rate=100 must be"),
    ],
)
def test_what_is_no_audio_is_refused(
    pipeline: VoiceConversionPipeline, audio: np.ndarray, rate: int, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        pipeline.convert(audio, rate)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"index_rate": 2.0}, "index_rate=2 is out of range"),
        ({"speaker": "bob"}, "speaker='bob' is not in"),
        ({"speaker": 7}, "speaker=7 is not in"),
        ({"pitch_shift_semitones": "high"}, "must be auto, auto_octave or a number"),
        ({"pitch_shift_semitones": 60}, "pitch_shift=60 is out of range"),
        ({"output_sample_rate": 1}, "output_sample_rate=1 must be"),
        ({"channels": "left"}, "channels='left' must be mix or keep"),
    ],
)
def test_impossible_keywords_are_refused(
    pipeline: VoiceConversionPipeline, keywords: dict[str, Any], message: str
) -> None:
    with pytest.raises(kinds.InvalidParameterError, match=message):
        pipeline.convert(voice(0.1, RATE), RATE, **keywords)


def test_errors_have_one_base_and_none_gives_audio(tmp_path: Path) -> None:
    seven = planted(tmp_path, node("Add", "sound", "seven"), seven=np.zeros((1, 7), np.float32))
    (tmp_path / "nan").mkdir()
    broken = planted(tmp_path / "nan", node("Mul", "sound", "nan"), nan=np.float32(np.nan))

    for failing in (seven, broken):
        with pytest.raises(kinds.GraphFailedError):
            failing.convert(voice(0.1, RATE), RATE)
        assert (failing.statistics().num_failures, failing.statistics().num_conversions) == (1, 0)
    found = [kind for kind in vars(kinds).values() if isinstance(kind, type) and kind.__module__ == kinds.__name__]
    assert len(found) == 9
    assert all(issubclass(kind, kinds.ConversionError) for kind in found)
    assert issubclass(kinds.ConversionError, WorkbenchError)


def test_voices_that_cannot_be_opened_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").touch()

    for path in (tmp_path / "absent.onnx", tmp_path / "empty", tmp_path / "text.txt"):
        with pytest.raises(kinds.VoiceLoadError, match=r"give an exported voice") as caught:
            VoiceConversionPipeline(path)
        assert "\n" not in str(caught.value)


def test_closed_pipeline_says_so(tmp_path: Path) -> None:
    with planted(tmp_path) as pipeline:
        pipeline.convert(voice(0.1, RATE), RATE)

    with pytest.raises(kinds.PipelineClosedError, match="was closed"):
        pipeline.convert(voice(0.1, RATE), RATE)


def test_progress_goes_up_by_stage_and_can_cancel(tmp_path: Path) -> None:
    pipeline, audio = planted(tmp_path), np.tile(voice(5.0, RATE), 14)
    told: list[Progress] = []

    pipeline.convert(audio, RATE, progress_callback=told.append)

    shares = [item.share for item in told if item.stage == "convert"]
    assert len(shares) >= 3
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert [stage for stage, _ in dict.fromkeys((item.stage, 0) for item in told)] == ["prepare", "convert", "finish"]
    with pytest.raises(kinds.ConversionCancelledError, match="cancelled in stage convert"):
        pipeline.convert(audio, RATE, progress_callback=lambda item: item.stage != "convert")
    assert pipeline.statistics().num_cancelled == 1


def test_batch_is_what_single_conversions_give(pipeline: VoiceConversionPipeline) -> None:
    audios = [voice(0.3 + 0.1 * number, RATE, seed=number) for number in range(6)]

    made = pipeline.batch_convert(audios, RATE, num_workers=3, pitch_shift_semitones=2.0)

    for result, audio in zip(made, audios, strict=True):
        assert isinstance(result, np.ndarray)
        np.testing.assert_array_equal(result, pipeline.convert(audio, RATE, pitch_shift_semitones=2.0))


def test_recordings_of_one_length_go_through_the_graph_together(
    pipeline: VoiceConversionPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = [0.2, 0.3, 0.2, 0.2, 0.3, 0.2]
    audios = [voice(seconds, 11025, seed=number) for number, seconds in enumerate(lengths)]
    expected = [pipeline.convert(audio, 11025) for audio in audios]
    run, shapes, before = VoiceSession.run, [], pipeline.statistics()

    def counted(session: VoiceSession, audio: np.ndarray, controls: Any = None) -> np.ndarray:
        shapes.append(np.atleast_2d(audio).shape[0])
        return run(session, audio, controls)

    monkeypatch.setattr(VoiceSession, "run", counted)
    made = pipeline.batch_convert(audios, 11025, batch_size=3)

    assert sorted(shapes) == [1, 2, 3]
    for result, alone in zip(made, expected, strict=True):
        assert isinstance(result, np.ndarray)
        np.testing.assert_allclose(result, alone, atol=1e-5)
    assert pipeline.statistics().num_conversions - before.num_conversions == 6
    assert pipeline.statistics().audio_seconds - before.audio_seconds == pytest.approx(sum(lengths), abs=0.01)


def test_broken_recording_does_not_spoil_its_batch(pipeline: VoiceConversionPipeline) -> None:
    audios = [voice(0.2, RATE), np.full_like(voice(0.2, RATE), np.nan)]

    first, second = pipeline.batch_convert(audios, RATE, batch_size=2, errors="return")

    assert isinstance(first, np.ndarray)
    assert isinstance(second, kinds.InvalidAudioError)


def test_error_in_a_batch_is_raised_or_stands_in_its_place(pipeline: VoiceConversionPipeline) -> None:
    audios = [voice(0.1, RATE), np.zeros(0, np.float32)]

    first, second = pipeline.batch_convert(audios, [RATE, RATE], errors="return")

    assert isinstance(first, np.ndarray)
    assert isinstance(second, kinds.InvalidAudioError)
    with pytest.raises(kinds.InvalidAudioError):
        pipeline.batch_convert(audios, RATE)
    with pytest.raises(kinds.InvalidParameterError, match="sample_rate has 1 values for 2 recordings"):
        pipeline.batch_convert(audios, [RATE])


def test_threads_share_a_pipeline_and_are_counted(tmp_path: Path) -> None:
    pipeline, results = VoiceConversionPipeline(export_standin(tmp_path).path), {}
    audios = {number: voice(0.2, RATE, seed=number) for number in range(8)}

    def work(number: int) -> None:
        for _ in range(3):
            results[number] = pipeline.convert(audios[number], RATE)

    threads = [threading.Thread(target=work, args=(number,)) for number in audios]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    counted = pipeline.statistics()
    assert (counted.num_conversions, counted.num_failures) == (24, 0)
    assert counted.audio_seconds == pytest.approx(24 * 0.2)
    for number, audio in audios.items():
        np.testing.assert_array_equal(results[number], pipeline.convert(audio, RATE))


def test_stages_of_a_profile_sum_to_the_total(pipeline: VoiceConversionPipeline) -> None:
    profile = pipeline.profile_conversion(np.tile(voice(2.0, 44100), 8), 44100, pitch_shift_semitones="auto")

    assert list(profile.stages) == ["prepare", "pitch", "convert", "finish"]
    assert sum(profile.stages.values()) == pytest.approx(profile.total_ms, rel=0.1)
    assert profile.rtf == pytest.approx(profile.total_ms / 1000 / profile.audio_duration_s)
    assert profile.audio_duration_s == pytest.approx(16.0)
    assert profile.device == "cpu"


def test_warm_up_is_not_counted(tmp_path: Path) -> None:
    pipeline = planted(tmp_path)

    assert pipeline.warmup(2) > 0
    assert pipeline.statistics().num_conversions == 0


def test_devices_are_found_by_name_or_order_and_absent_ones_refused() -> None:
    both = [PROVIDERS["cpu"], PROVIDERS["cuda"], "AzureExecutionProvider"]

    assert find_device("auto", both).name == "cuda"
    assert find_device("auto", both).providers == ["CUDAExecutionProvider", "CPUExecutionProvider"]
    assert find_device("cpu", both).providers == ["CPUExecutionProvider"]
    with pytest.raises(kinds.DeviceError, match="device=directml is not in this onnxruntime, which has cuda, cpu"):
        find_device("directml", both)
    with pytest.raises(kinds.DeviceError, match="device=gpu is unknown; allowed: auto, cuda"):
        find_device("gpu", both)


def test_device_that_cannot_be_used_is_an_error_by_name_and_said_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    graph, with_cuda = write(tmp_path), [PROVIDERS["cuda"], PROVIDERS["cpu"]]
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: with_cuda)
    monkeypatch.setattr(VoiceSession, "providers", property(lambda session: ["CPUExecutionProvider"]))
    cpu = {"providers": ["CPUExecutionProvider"]}
    opened = VoiceSession.open
    monkeypatch.setattr(VoiceSession, "open", lambda path, threads, **_: opened(path, threads, **cpu))

    with pytest.raises(kinds.DeviceError, match="onnxruntime cannot use cuda here"):
        VoiceConversionPipeline(graph, device="cuda")
    assert VoiceConversionPipeline(graph).device == "cpu"
    assert "the processor is used" in caplog.text


def test_processor_takes_over_only_when_asked_and_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = write(tmp_path)
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: [PROVIDERS["cuda"], PROVIDERS["cpu"]])
    monkeypatch.setattr(VoiceSession, "providers", property(lambda session: [PROVIDERS["cuda"]]))
    opened, run = VoiceSession.open, VoiceSession.run
    devices: dict[int, str] = {}

    def open_on(path: Path, threads: int, *, providers: Any = ("cpu",)) -> VoiceSession:
        session = opened(path, threads)
        devices[id(session)] = providers[0]
        return session

    def run_on(session: VoiceSession, audio: np.ndarray, controls: Any = None) -> np.ndarray:
        if devices[id(session)] == PROVIDERS["cuda"]:
            raise kinds.GraphFailedError("out of memory")
        return run(session, audio, controls)

    monkeypatch.setattr(VoiceSession, "open", open_on)
    monkeypatch.setattr(VoiceSession, "run", run_on)
    audio = voice(0.1, RATE)

    with pytest.raises(kinds.GraphFailedError, match="out of memory"):
        VoiceConversionPipeline(graph).convert(audio, RATE)
    patient = VoiceConversionPipeline(graph, cpu_retry=True)
    np.testing.assert_allclose(patient.convert(audio, RATE), np.abs(audio), atol=1e-6)
    assert patient.statistics().num_cpu_retries == 1


def test_pieces_begin_on_the_grid_of_the_noise() -> None:
    from models.layers.excitation import NOISE_FRAMES
    from utils.audio.frames import FRAME_RATE

    assert GRID_SECONDS % (NOISE_FRAMES / FRAME_RATE) == 0
    low, high = piece_bounds(47 * RATE + 11, 60 * RATE, 61 * RATE, RATE)
    assert (low, high) == (44 * RATE, 61 * RATE)
