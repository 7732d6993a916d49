"""RMVPE from a user's file: what is refused, and both of its forms as stand-ins whose answer is known."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from utils.errors import ConfigError
from utils.features.pitch.external import (
    RMVPE_CENTS,
    OnnxPitch,
    decode_rmvpe,
    rmvpe_mel,
)

RATE = 16000
FRAMES = 60


def audio() -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal(FRAMES * 160)).astype(np.float32)


def ramp() -> np.ndarray:
    """Audio whose sample is its own time in seconds."""
    return (np.arange(FRAMES * 160) / RATE).astype(np.float32)


def glide(seconds: np.ndarray) -> np.ndarray:
    """Pitch that stand-ins report at a time: an octave a second from 100 Hz."""
    return 100 * 2**seconds


def centres() -> np.ndarray:
    return (np.arange(FRAMES) + 0.5) / 100


@pytest.mark.parametrize("path", [None, "", "absent.onnx"])
def test_rmvpe_without_its_file_says_what_to_put_where(path: str | None) -> None:
    with pytest.raises(ConfigError, match=r"pitch\.path=.* is not a file; put RMVPE's ONNX file .* pitch\.path=<file>"):
        OnnxPitch(path=path)


def test_rmvpe_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rmvpe.pt"
    path.write_bytes(b"PK\x03\x04 no graph")

    with pytest.raises(ConfigError, match=r"rmvpe\.pt' is no ONNX graph .*\.onnx"):
        OnnxPitch(path=str(path))


def save(path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: dict[str, Any]) -> str:
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "standin", inputs, outputs, initializers)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return str(path)


def waveform_graph(path: Path, threshold_shape: list[int], *, has_mask: bool) -> str:
    """F0 = 1000 x sample i * 160; the mask says unvoiced where that is below 1000 x threshold."""
    floats, strings = TensorProto.FLOAT, {"audio": ["one", "time"], "f0": ["one", "frames"]}
    inputs = [
        helper.make_tensor_value_info("waveform", floats, strings["audio"]),
        helper.make_tensor_value_info("threshold", floats, threshold_shape),
    ]
    constants = {
        "start": np.array([0], np.int64),
        "end": np.array([2**31], np.int64),
        "axis": np.array([1], np.int64),
        "step": np.array([160], np.int64),
        "gain": np.array(1000.0, np.float32),
    }
    nodes = [
        helper.make_node("Slice", ["waveform", "start", "end", "axis", "step"], ["picked"]),
        helper.make_node("Mul", ["picked", "gain"], ["pitchf" if not has_mask else "f0"]),
        helper.make_node("Less", ["picked", "threshold"], ["uv"]),
    ]
    outputs = [helper.make_tensor_value_info("f0" if has_mask else "pitchf", floats, strings["f0"])]
    if has_mask:
        outputs.append(helper.make_tensor_value_info("uv", TensorProto.BOOL, strings["f0"]))
    return save(path, nodes, inputs, outputs, constants)


@pytest.fixture
def unprobed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take stand-ins that hear no pitch."""
    monkeypatch.setattr(OnnxPitch, "_probe", lambda tracker: None)


@pytest.mark.usefixtures("unprobed")
@pytest.mark.parametrize("threshold_shape", [[], [1]])
@pytest.mark.parametrize("has_mask", [True, False])
def test_rmvpe_from_audio_is_read_at_our_centres(tmp_path: Path, threshold_shape: list[int], has_mask: bool) -> None:
    path = waveform_graph(tmp_path / "rmvpe.onnx", threshold_shape, has_mask=has_mask)

    found = OnnxPitch(path=path, threshold=0.2).track(ramp())

    expected = 1000 * centres()
    expected[expected < (200 if has_mask else 50)] = 0
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def mel_graph(path: Path) -> str:
    """Scores [1, F, 360] that are the first band's mel value at class 210 and 0 elsewhere; F must be of 32 frames."""
    floats = TensorProto.FLOAT
    place = np.zeros((1, 360), np.float32)
    place[0, 210] = 1
    constants = {
        "start": np.array([0], np.int64),
        "end": np.array([1], np.int64),
        "axis": np.array([1], np.int64),
        "blocks": np.array([1, -1, 32], np.int64),
        "line": np.array([1, -1, 1], np.int64),
        "place": place,
    }
    nodes = [
        helper.make_node("Slice", ["mel", "start", "end", "axis"], ["band"]),
        helper.make_node("Reshape", ["band", "blocks"], ["blocked"]),
        helper.make_node("Reshape", ["blocked", "line"], ["column"]),
        helper.make_node("Exp", ["column"], ["loud"]),
        helper.make_node("MatMul", ["loud", "place"], ["scores"]),
    ]
    inputs = [helper.make_tensor_value_info("mel", floats, [1, 128, "frames"])]
    return save(path, nodes, inputs, [helper.make_tensor_value_info("scores", floats, None)], constants)


@pytest.mark.slow
@pytest.mark.usefixtures("unprobed")
def test_rmvpe_from_mel_is_padded_decoded_and_cut(tmp_path: Path) -> None:
    path = mel_graph(tmp_path / "rmvpe.onnx")
    sound = audio()
    sound[30 * 160 :] = 0

    found = OnnxPitch(path=path, threshold=1e-4).track(sound)

    # class 210: 20 * 210 + 1997.38 cents above 10 Hz
    assert found.shape == (FRAMES,)
    np.testing.assert_allclose(found[:25], 10 * 2 ** (6197.3794 / 1200), rtol=1e-4)
    assert not found[35:].any()


@pytest.mark.slow
def test_rmvpe_mel_has_its_shape_floor_and_scale() -> None:
    time = np.arange(RATE) / RATE

    quiet = rmvpe_mel(np.zeros(RATE, np.float32))
    tone = rmvpe_mel(np.sin(2 * np.pi * 1000 * time).astype(np.float32))

    assert quiet.shape == (128, 101)
    assert quiet.dtype == np.float32
    np.testing.assert_allclose(quiet, np.log(1e-5), rtol=1e-6)
    # HTK: mel(f) = 2595 log10(1 + f / 700); 128 bands from 30 to 8000 Hz have 130 edges, band b peaks at edge b + 1
    low, high, wanted = (2595 * np.log10(1 + hertz / 700) for hertz in (30, 8000, 1000))
    assert abs(tone[:, 50].argmax() - (129 * (wanted - low) / (high - low) - 1)) <= 1


def test_rmvpe_scores_are_averaged_around_the_best() -> None:
    scores = np.zeros((3, 360))
    scores[0, 100:102] = 0.5
    scores[1, 0] = 0.9
    scores[2, 200] = 0.01

    found = decode_rmvpe(scores, 0.03)

    expected = [10 * 2 ** ((RMVPE_CENTS[100] + 10) / 1200), 10 * 2 ** (RMVPE_CENTS[0] / 1200), 0]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def crossings_graph(path: Path, *, hop: int = 160, factor: float = 1.0) -> str:
    """F0 from audio: half the changes of sign in 0.3 s, every `hop` samples; `factor` spoils it."""
    floats, window = TensorProto.FLOAT, 4800
    constants = {
        "one": np.array([1], np.int64),
        "zero": np.array([0], np.int64),
        "minus": np.array([-1], np.int64),
        "end": np.array([2**31], np.int64),
        "kernel": np.full((1, 1, window), factor * RATE / window / 4, np.float32),
    }
    nodes = [
        helper.make_node("Unsqueeze", ["waveform", "one"], ["line"]),
        helper.make_node("Sign", ["line"], ["sign"]),
        helper.make_node("Slice", ["sign", "one", "end", "minus"], ["later"]),
        helper.make_node("Slice", ["sign", "zero", "minus", "minus"], ["earlier"]),
        helper.make_node("Sub", ["later", "earlier"], ["change"]),
        helper.make_node("Abs", ["change"], ["changed"]),
        helper.make_node("Conv", ["changed", "kernel"], ["counted"], strides=[hop], pads=[window // 2, window // 2]),
        helper.make_node("Squeeze", ["counted", "one"], ["f0"]),
    ]
    inputs = [
        helper.make_tensor_value_info("waveform", floats, ["one", "time"]),
        helper.make_tensor_value_info("threshold", floats, [1]),
    ]
    return save(path, nodes, inputs, [helper.make_tensor_value_info("f0", floats, None)], constants)


def classes_graph(path: Path, rows: int = 128) -> str:
    """Scores [1, F, 360] with class 168, 220.8 Hz, above 0.9 where the mel spectrogram is not silent."""
    place = np.zeros((1, 360), np.float32)
    place[0, 168] = 1
    nodes = [
        helper.make_node("ReduceMax", ["mel"], ["loudest"], axes=[1]),
        helper.make_node("Exp", ["loudest"], ["loud"]),
        helper.make_node("Tanh", ["loud"], ["score"]),
        helper.make_node("Transpose", ["score"], ["column"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["column", "place"], ["scores"]),
    ]
    inputs = [helper.make_tensor_value_info("mel", TensorProto.FLOAT, [1, rows, "frames"])]
    outputs = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, None)]
    return save(path, nodes, inputs, outputs, {"place": place})


def echo_graph(path: Path) -> str:
    """Audio to audio, as an exported voice."""
    nodes = [helper.make_node("Neg", ["audio"], ["output"])]
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", "time"])] for name in ("audio", "output")
    )
    return save(path, nodes, inputs, outputs, {})


@pytest.mark.parametrize("threshold", [0.03, 0.99])
@pytest.mark.parametrize("make", [crossings_graph, classes_graph])
def test_a_file_that_hears_the_tone_is_taken(tmp_path: Path, make: Callable[..., str], threshold: float) -> None:
    assert OnnxPitch(path=make(tmp_path / "rmvpe.onnx"), threshold=threshold).identity["id"] == "onnx"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (echo_graph, "it gives 16000 values for one second of sound, not 100"),
        (lambda path: crossings_graph(path, hop=256), "it gives 6[23] values for one second of sound, not 100"),
        (lambda path: crossings_graph(path, factor=0.5), r"it hears 1(09|10)\.\d Hz in a tone of 220 Hz"),
        (lambda path: crossings_graph(path, factor=np.nan), "it hears nan Hz in a tone of 220 Hz"),
        (lambda path: classes_graph(path, 64), r"takes mel tensor\(float\) \[1, 64, 'frames'\] and cannot be run"),
    ],
)
def test_a_file_that_is_no_pitch_tracker_is_refused(
    tmp_path: Path, make: Callable[[Path], str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match=rf"^pitch\.path=.*other\.onnx .*{said}.*type pitch\.path=<file>$") as caught:
        OnnxPitch(path=make(tmp_path / "other.onnx"))

    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


@pytest.mark.usefixtures("unprobed")
def test_file_and_settings_stand_in_the_identity(tmp_path: Path) -> None:
    first = waveform_graph(tmp_path / "first.onnx", [1], has_mask=True)
    second = waveform_graph(tmp_path / "second.onnx", [1], has_mask=False)

    assert OnnxPitch(path=first).identity != OnnxPitch(path=second).identity
    assert OnnxPitch(path=first).identity != OnnxPitch(path=first, threshold=0.1).identity
