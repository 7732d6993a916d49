"""Trackers from packages: what is said when one is absent, and the adapters on stand-ins whose answer is known."""

import importlib.metadata
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from utils.errors import ConfigError
from utils.features.pitch.external import (
    CrepePitch,
    FcpePitch,
    OnnxPitch,
    SwiftPackagePitch,
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


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def put(name: str, **content: Any) -> None:
        module = ModuleType(name)
        for key, value in content.items():
            setattr(module, key, value)
        monkeypatch.setitem(sys.modules, name, module)

    return put


def crepe_standin(f0_hz: Callable[[np.ndarray], np.ndarray], periodicity: float = 0.9) -> Callable[..., Any]:
    """Torchcrepe's predict: frame i is centred on sample i * hop, one frame more than whole hops."""

    def predict(signal: torch.Tensor, rate: int, hop: int, low: float, high: float, model: str, **named: Any) -> Any:
        assert (rate, hop, low, high, model) == (16000, 160, 50.0, 1100.0, "tiny")
        heard = torch.nn.functional.pad(signal, (0, 1))[0, ::hop].numpy()
        found = torch.from_numpy(f0_hz(heard).astype(np.float32))[None]
        return found, torch.full_like(found, periodicity)

    return predict


def test_crepe_frames_are_centred_on_ours(install: Callable[..., None]) -> None:
    install("torchcrepe", predict=crepe_standin(glide))

    found = CrepePitch().track(ramp())

    assert found.shape == (FRAMES,)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:-1], glide(centres())[:-1], rtol=1e-5)


def test_crepe_below_its_threshold_is_unvoiced(install: Callable[..., None]) -> None:
    install("torchcrepe", predict=crepe_standin(glide, periodicity=0.2))

    assert not CrepePitch(periodicity_threshold=0.21).track(ramp()).any()
    assert CrepePitch(periodicity_threshold=0.19).track(ramp()).any()


@pytest.mark.parametrize("outside", [30.0, 1500.0, np.nan])
def test_pitch_out_of_range_is_unvoiced(install: Callable[..., None], outside: float) -> None:
    install("torchcrepe", predict=crepe_standin(lambda seconds: np.where(seconds < 0.3, outside, 200.0)))

    found = CrepePitch().track(ramp())

    np.testing.assert_array_equal(found > 0, centres() >= 0.3)


def fcpe_standin(frames_more: int) -> Callable[..., Any]:
    """Torchfcpe's model: 10 ms frames centred as ours."""

    class Model:
        def infer(self, signal: torch.Tensor, *, sr: int, output_interp_target_length: int, **named: Any) -> Any:
            assert (sr, signal.shape) == (16000, (1, FRAMES * 160, 1))
            assert output_interp_target_length == FRAMES + 1
            assert (named["f0_min"], named["f0_max"], named["interp_uv"]) == (50.0, 1100.0, False)
            found = glide((np.arange(FRAMES + frames_more) + 0.5) / 100)
            found[5:9] = 0
            return torch.from_numpy(found.astype(np.float32))[None, :, None]

    return lambda device: Model()


@pytest.mark.parametrize("frames_more", [0, 1])
def test_fcpe_keeps_its_frames_and_unvoiced_ones(install: Callable[..., None], frames_more: int) -> None:
    install("torchfcpe", spawn_bundled_infer_model=fcpe_standin(frames_more))

    found = FcpePitch().track(audio())

    expected = glide(centres())
    expected[5:9] = 0
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def swift_standin(f0_hz: Callable[[np.ndarray], np.ndarray], voiced_from: float = 0.0) -> Callable[..., Any]:
    """The package swift-f0: frame i is centred on sample i * 256."""

    class Detector:
        def __init__(self, threads: int, spin: bool) -> None:
            assert threads == 1

        def detect(self, samples: np.ndarray, rate: int, fmin: float, fmax: float) -> Any:
            assert (rate, fmin, fmax) == (16000, 50.0, 1100.0)
            times = np.arange(max(1, len(samples) // 256)) * 0.016
            return SimpleNamespace(pitch_hz=f0_hz(times), confidence=(times >= voiced_from).astype(float))

    return Detector


def test_swift_package_is_interpolated_from_sixteen_to_ten_milliseconds(install: Callable[..., None]) -> None:
    install("swift_f0", SwiftF0=swift_standin(glide))

    found = SwiftPackagePitch().track(audio())

    assert found.shape == (FRAMES,)
    inside = centres() < 0.57  # the last of its frames
    np.testing.assert_allclose(found[inside], glide(centres())[inside], rtol=1e-5)


def test_swift_package_is_not_interpolated_across_a_jump(install: Callable[..., None]) -> None:
    install("swift_f0", SwiftF0=swift_standin(lambda seconds: np.where(seconds < 0.3, 100.0, 200.0)))

    found = SwiftPackagePitch().track(audio())

    assert {round(float(value), 3) for value in found} == {100.0, 200.0}


def test_swift_package_without_confidence_is_unvoiced(install: Callable[..., None]) -> None:
    install("swift_f0", SwiftF0=swift_standin(glide, voiced_from=0.32))

    voiced = SwiftPackagePitch().track(audio()) > 0

    np.testing.assert_array_equal(voiced, centres() > 0.311)


@pytest.mark.parametrize(
    ("tracker", "package", "command"),
    [
        (CrepePitch, "torchcrepe", "pip install torchcrepe==0.0.24"),
        (FcpePitch, "torchfcpe", "pip install torchfcpe==0.0.4"),
        (SwiftPackagePitch, "swift_f0", "pip install swift-f0==0.3.0"),
    ],
)
def test_absent_package_is_named_with_its_command(
    monkeypatch: pytest.MonkeyPatch, tracker: Callable[[], Any], package: str, command: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(ConfigError, match=f"package {package} .*type: {command}$"):
        tracker()


def test_crepe_of_unknown_size_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"pitch\.model='huge' is unknown; allowed: tiny, full"):
        CrepePitch(model="huge")  # type: ignore[arg-type]


@pytest.mark.parametrize("threshold", [-0.1, 38.0, float("nan"), "high"])
def test_a_threshold_that_leaves_nothing_voiced_is_refused(threshold: Any) -> None:
    makers: list[Callable[[], object]] = [
        lambda: SwiftPackagePitch(voicing_threshold=threshold),
        lambda: CrepePitch(periodicity_threshold=threshold),
        lambda: FcpePitch(threshold=threshold),
        lambda: OnnxPitch(path="rmvpe.onnx", threshold=threshold),
    ]
    for make in makers:
        with pytest.raises(ConfigError, match=r"pitch\.[a-z_]*threshold="):
            make()


@pytest.mark.parametrize("name", ["torchcrepe", "torchfcpe", "swift_f0"])
def test_no_audio_gives_no_frames(install: Callable[..., None], name: str) -> None:
    install("torchcrepe", predict=None)
    install("torchfcpe", spawn_bundled_infer_model=lambda device: None)
    install("swift_f0", SwiftF0=lambda threads, spin: None)
    tracker = {"torchcrepe": CrepePitch, "torchfcpe": FcpePitch, "swift_f0": SwiftPackagePitch}[name]()

    assert tracker.track(np.zeros(0, np.float32)).shape == (0,)


@pytest.mark.parametrize(
    ("tracker", "package", "distribution", "content"),
    [
        (CrepePitch, "torchcrepe", "torchcrepe", {"predict": None}),
        (FcpePitch, "torchfcpe", "torchfcpe", {"spawn_bundled_infer_model": lambda device: None}),
        (SwiftPackagePitch, "swift_f0", "swift-f0", {"SwiftF0": lambda threads, spin: None}),
    ],
)
def test_another_version_of_a_package_is_another_tracker(
    install: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    tracker: Callable[[], Any],
    package: str,
    distribution: str,
    content: dict[str, Any],
) -> None:
    install(package, **content)

    said = []
    for version in ("1.2.3", "1.2.4"):
        monkeypatch.setattr(importlib.metadata, "version", {distribution: version}.__getitem__)
        said.append(tracker().identity["package"])

    assert said == [f"{distribution} 1.2.3", f"{distribution} 1.2.4"]


def test_settings_stand_in_the_identity(install: Callable[..., None]) -> None:
    install("torchcrepe", predict=None)

    assert CrepePitch().identity != CrepePitch(periodicity_threshold=0.3).identity
