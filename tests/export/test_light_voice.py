"""The graph of a light voice with its whole front end: operator versions, equality with PyTorch, controls by ear."""

from collections.abc import Callable
from functools import cache

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from models.conversion import AudioConverter
from models.lite import LiteVoice
from tests.tools.standin_voice import StandInVoice
from utils.audio.resample import RationalResampler
from utils.audio.synthetic_speech import voice
from utils.export.graph import build_graph, control_tensors
from utils.export.tracing import GraphOptions
from utils.features.content.builtin import RandomContent
from utils.features.frontend import AnalysisFrontend
from utils.features.pitch.swift import builtin_tracker
from utils.features.retrieval import CodebookRetrieval
from utils.verification.measures import relative_db
from utils.verification.signals import speech_like
from utils.voice_file.controls import ControlDefaults

RATE, DIM = 16000, 16
DEFAULTS = ControlDefaults(index_rate=0.0)


@cache
def small_voice(*, with_retrieval: bool = True) -> AudioConverter:
    torch.manual_seed(0)
    model = LiteVoice(
        sample_rate=RATE, n_fft=640, content_dim=DIM, num_speakers=2, channels=16, num_blocks=2, speaker_dim=8
    )
    codebook = torch.randn(2, 8, DIM, generator=torch.Generator().manual_seed(1)) if with_retrieval else None
    retrieval = CodebookRetrieval(codebook) if codebook is not None else None
    frontend = AnalysisFrontend(RandomContent(dim=DIM), builtin_tracker(), RATE)
    return AudioConverter(model, frontend, retrieval, RationalResampler(RATE, RATE), defaults=DEFAULTS).eval()


@cache
def graph(opset: int = 17) -> onnx.ModelProto:
    options = GraphOptions(opset=opset)
    return build_graph(small_voice(), sample_rate=RATE, defaults=DEFAULTS, options=options, metadata={})


@cache
def runner(opset: int = 17) -> Callable[..., np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph(opset).SerializeToString(), options)

    def run(audio: np.ndarray, **controls: float) -> np.ndarray:
        kinds = {name: np.int64 if name == "speaker_id" else np.float32 for name in controls}
        feed = {name: np.array(value, kinds[name]) for name, value in controls.items()}
        output: np.ndarray = session.run(["output"], {"audio": audio, **feed})[0]
        return output

    return run


def speech(seconds: float = 1.5) -> np.ndarray:
    return voice(seconds, RATE, f0_hz=180.0)[None]


@pytest.mark.slow
@pytest.mark.parametrize("opset", [17, 18, 19, 20])
def test_each_operator_version_passes_the_checker_and_converts_alike(opset: int) -> None:
    made = graph(opset)

    assert {item.domain: item.version for item in made.opset_import} == {"": opset}
    onnx.checker.check_model(made, full_check=True)
    onnx.shape_inference.infer_shapes(made, check_type=True, strict_mode=True, data_prop=True)
    assert relative_db(runner(opset)(speech()), runner()(speech())) < -100.0


@pytest.mark.slow
@pytest.mark.parametrize("length", [1, 159, 1600, 24001])
@pytest.mark.parametrize("seed", [3, 12])
def test_graph_is_within_80_db_of_pytorch(length: int, seed: int) -> None:
    audio = speech_like(RATE, length, seed)[None]
    with torch.no_grad():
        expected = small_voice()(torch.from_numpy(audio), *control_tensors(DEFAULTS)).numpy()

    assert relative_db(runner()(audio), expected) < -90.0


@pytest.mark.slow
@pytest.mark.parametrize("semitones", [-12.0, -5.0, 3.5, 12.0])
def test_pitch_shift_moves_the_measured_pitch(semitones: float) -> None:
    tracker = builtin_tracker()
    plain, moved = (tracker.track(runner()(speech(), pitch_shift=value)[0]) for value in (0.0, semitones))

    both = (plain > 0) & (moved > 0)
    assert both.sum() > 50
    assert abs(1200 * np.median(np.log2(moved[both] / plain[both])) - 100 * semitones) < 20


def test_another_shift_can_be_baked() -> None:
    defaults = {"": DEFAULTS, "baked": ControlDefaults(index_rate=0.0, pitch_shift=-5.0)}
    graphs = {
        name: build_graph(StandInVoice(), sample_rate=8000, defaults=values, options=GraphOptions(), metadata={})
        for name, values in defaults.items()
    }
    audio = speech_like(8000, 8000, 1)[None]
    plain, baked = (onnxruntime.InferenceSession(made.SerializeToString()) for made in graphs.values())

    found = baked.run(["output"], {"audio": audio})[0]

    np.testing.assert_array_equal(
        found, plain.run(["output"], {"audio": audio, "pitch_shift": np.array(-5.0, np.float32)})[0]
    )
    assert not np.array_equal(found, plain.run(["output"], {"audio": audio})[0])


@pytest.mark.slow
def test_index_rate_zero_is_the_voice_without_retrieval() -> None:
    with torch.no_grad():
        without = small_voice(with_retrieval=False)(torch.from_numpy(speech()), *control_tensors(DEFAULTS)).numpy()

    assert relative_db(runner()(speech(), index_rate=0.0), without) < -80.0
    assert relative_db(runner()(speech(), index_rate=1.0), without) > -60.0


def test_protect_matters_for_unvoiced_sound_alone() -> None:
    audio = np.concatenate([speech(), speech(), speech()], axis=1)
    audio[:, : RATE // 4] = 0.05 * np.random.default_rng(3).standard_normal(RATE // 4)  # a fricative, alone
    spared, touched = (runner()(audio, index_rate=1.0, protect=value) for value in (0.0, 0.5))

    f0_hz = builtin_tracker().track(audio[0])
    change = np.abs(spared - touched).reshape(-1, RATE // 100).max(axis=1)
    # convolutions carry a change on to neighbours: frames far from unvoiced ones stay as they are
    far = np.convolve(f0_hz == 0, np.ones(61), "same") == 0
    assert change[f0_hz == 0].max() > 1e-4
    assert far.any() and change[far].max() < 1e-3 * change.max()


def test_loudness_mix_zero_imposes_the_level_of_the_input() -> None:
    def levels(audio: np.ndarray) -> np.ndarray:
        return np.sqrt(np.mean(np.square(audio.reshape(-1, RATE // 100)), axis=1))

    imposed = levels(runner()(speech(), loudness_mix=0.0))

    loud = levels(speech()) > 0.03
    assert np.median(np.abs(20 * np.log10(imposed[loud] / levels(speech())[loud]))) < 1.0


def test_speakers_sound_different_and_one_outside_is_the_nearest() -> None:
    first, second = (runner()(speech(), speaker_id=value) for value in (0, 1))

    assert relative_db(second, first) > -60.0
    np.testing.assert_array_equal(runner()(speech(), speaker_id=9), second)
