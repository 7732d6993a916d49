"""Pitch trackers on tones whose pitch is known, and our module of SwiftF0 beside its own package."""

import io
from functools import cache

import numpy as np
import onnxruntime
import pytest
import soxr
import torch

from utils.audio.graph_form import graph_form
from utils.audio.spectral import Stft
from utils.audio.synthetic_speech import voice
from utils.errors import ConfigError
from utils.features.content.builtin import WEIGHTS_FOLDER
from utils.features.pitch.base import PitchTracker, extract_f0
from utils.features.pitch.refinement import WINDOW, HarmonicRefinement, refinement_windows
from utils.features.pitch.swift import BUILTIN, SwiftPitch, builtin_tracker
from utils.features.pitch.world import WorldPitch
from utils.files import sha256_of_file

RATE = 16000


@cache
def swift() -> SwiftPitch:
    return builtin_tracker()


def tone(f0_hz: np.ndarray | float, seconds: float = 1.0, sample_rate: int = RATE, level: float = 0.3) -> np.ndarray:
    """Harmonics with a falling spectrum; f0_hz may be a curve of one value per sample."""
    curve = np.broadcast_to(np.asarray(f0_hz, dtype=np.float64), round(seconds * sample_rate))
    phase = 2 * np.pi * np.cumsum(curve) / sample_rate
    count = int(0.4 * sample_rate / curve.max())
    sound = np.sum([np.sin(k * phase + k) / k for k in range(1, min(count, 25) + 1)], axis=0)
    return (level * sound / np.abs(sound).max()).astype(np.float32)


def cents(found: np.ndarray, expected: np.ndarray | float) -> np.ndarray:
    return np.abs(1200 * np.log2(found / expected))


@pytest.mark.parametrize("f0_hz", [70.0, 110.0, 183.0, 277.0, 440.0, 700.0])
def test_swift_finds_the_pitch_of_harmonic_tones(f0_hz: float) -> None:
    found = swift().track(tone(f0_hz))[10:-10]

    assert (found > 0).mean() > 0.95
    assert np.median(cents(found[found > 0], f0_hz)) < 20


@pytest.mark.parametrize("frames", [5, 10, 11, 60])
@pytest.mark.parametrize("weights", [BUILTIN, None])
def test_whatever_part_of_a_voice_is_given_its_ends_are_voiced(weights: str | None, frames: int) -> None:
    tracker, audio = SwiftPitch(weights=weights), tone(150.0)
    parts = [audio[start:][: frames * 160] for start in (1600, 2011, 3333)]

    for part in parts:
        for found in (tracker.track(part), tracker(torch.from_numpy(part)[None])[0].numpy()):
            assert (found > 0).all()
            assert cents(found, 150.0).max() < 60


@pytest.mark.parametrize("weights", [BUILTIN, None])
def test_swift_equals_its_package_on_a_glide(weights: str | None) -> None:
    package = pytest.importorskip("swift_f0")
    time = np.arange(2 * RATE) / RATE
    audio = tone(150 * 2 ** (0.5 * np.sin(2 * np.pi * 0.5 * time)), 2.0)
    audio[round(0.9 * RATE) : round(1.2 * RATE)] = 0.0

    ours = SwiftPitch(weights=weights).track(audio)

    theirs = package.SwiftF0(threads=1).detect(audio, RATE)
    voiced = theirs.confidence >= 0.5
    nearest = np.clip((theirs.timestamps * 100).astype(int), 0, len(ours) - 1)
    both = voiced & (ours[nearest] > 0)
    assert np.mean(voiced == (ours[nearest] > 0)) > 0.95
    assert both.sum() > 60
    # the package's frames lie up to 5 ms from ours, in which the glide moves by up to 10 cents
    assert np.percentile(cents(ours[nearest][both], theirs.pitch_hz[both]), 95) < 20


@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_narrow_network_hears_what_the_wide_one_hears(noise: float) -> None:
    spoken = np.concatenate([voice(2.0, f0_hz=f0_hz, seed=index) for index, f0_hz in enumerate((90.0, 160.0, 250.0))])
    heard = spoken + noise * np.random.default_rng(0).standard_normal(len(spoken)).astype(np.float32)

    found, expected = swift().track(heard), SwiftPitch().track(heard)

    both = (found > 0) & (expected > 0)
    assert np.mean((found > 0) == (expected > 0)) > 0.95
    assert np.percentile(cents(found[both], expected[both]), 95) < 15


@pytest.mark.parametrize("level", [0.0, 1e-4])
def test_silence_and_faint_hiss_are_unvoiced(level: float) -> None:
    audio = (level * np.random.default_rng(0).standard_normal(RATE)).astype(np.float32)

    assert not swift().track(audio).any()


def test_hiss_is_unvoiced() -> None:
    spectrum = np.fft.rfft(np.random.default_rng(0).standard_normal(2 * RATE))
    spectrum[np.fft.rfftfreq(2 * RATE, 1 / RATE) < 2000] = 0
    audio = np.fft.irfft(spectrum).astype(np.float32)
    audio *= 0.1 / audio.std()

    assert not swift().track(audio)[7:-7].any()  # SwiftF0's own twelve channels call four frames in five voiced


def test_file_that_is_no_network_of_the_tracker_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"pitch\.weights=nowhere is not a file; leave it out"):
        SwiftPitch(weights="nowhere")
    foreign = WEIGHTS_FOLDER / "content_builtin.safetensors"
    with pytest.raises(ConfigError, match=r"content_builtin\.safetensors is no network of this tracker"):
        SwiftPitch(weights=str(foreign))


@pytest.mark.parametrize("weights", [BUILTIN, None])
@pytest.mark.parametrize("level", [0.01, 0.1, 0.7, -1.0])
def test_constant_is_no_sound(level: float, weights: str | None) -> None:
    tracker = SwiftPitch(weights=weights)
    audio = np.full(RATE // 2, level, np.float32)

    # at its ends it jumps from and to zero; a matrix product rounds alike at equal distances, which looks like a tone
    for found in (tracker.track(audio), tracker(torch.from_numpy(audio)[None])[0].numpy()):
        assert not found[7:-7].any()


def test_tone_below_the_level_of_silence_is_unvoiced() -> None:
    loud, faint = (swift().track(tone(200.0, level=level)) for level in (2e-3, 5e-4))

    assert (loud > 0).mean() > 0.8
    assert not faint.any()


def test_noise_is_mostly_unvoiced() -> None:
    audio = (0.1 * np.random.default_rng(0).standard_normal(RATE)).astype(np.float32)

    assert (swift().track(audio) > 0).mean() < 0.1


@pytest.mark.parametrize("frames", [0, 1, 2, 37])
def test_swift_gives_one_value_a_frame(frames: int) -> None:
    found = swift().track(np.zeros(frames * 160, np.float32))

    assert found.shape == (frames,)
    assert found.dtype == np.float32


def test_swift_treats_each_item_of_a_batch_alone() -> None:
    first, second = (torch.from_numpy(tone(f0_hz, 0.5))[None] for f0_hz in (120.0, 300.0))

    together = swift()(torch.cat([first, second]))

    torch.testing.assert_close(together, torch.cat([swift()(first), swift()(second)]), atol=0.05, rtol=0)


def test_swift_gives_the_same_values_as_an_exported_graph() -> None:
    tracker = builtin_tracker()
    time = np.arange(2 * RATE) / RATE
    noise = 0.01 * np.random.default_rng(0).standard_normal(2 * RATE)
    audio = (tone(150 * 2 ** (0.5 * np.sin(2 * np.pi * 0.5 * time)), 2.0) + noise).astype(np.float32)
    audio[round(0.9 * RATE) : round(1.2 * RATE)] = 0.0
    expected = tracker.track(audio)
    buffer = io.BytesIO()
    axes = {"audio": {1: "time"}, "f0_hz": {1: "frames"}}
    names = {"input_names": ["audio"], "output_names": ["f0_hz"], "dynamic_axes": axes}
    torch.onnx.export(graph_form(tracker), (torch.zeros(1, RATE),), buffer, dynamo=False, opset_version=17, **names)  # type: ignore[arg-type]

    session = onnxruntime.InferenceSession(buffer.getvalue(), providers=["CPUExecutionProvider"])
    found = session.run(None, {"audio": audio[None]})[0][0]

    assert (expected > 0).mean() > 0.7
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_spectra_by_fft_are_those_of_the_graph() -> None:
    tracker = builtin_tracker()
    audio = torch.from_numpy(tone(180.0, 0.3))[None]
    frames = tracker.framing(torch.nn.functional.pad(audio, (tracker.framing.before, tracker.framing.after)))

    maps, fields = tracker._maps_by_fft(frames)
    maps_in_graph, fields_in_graph = tracker._maps(frames)

    for found, expected in zip(maps, maps_in_graph, strict=True):
        torch.testing.assert_close(found, expected[:, : found.shape[1]], atol=2e-5 * expected.max().item(), rtol=0)
    expected = fields_in_graph[:, :, : fields.shape[2]]
    torch.testing.assert_close(fields, expected, atol=2e-5 * expected.max().item(), rtol=0)


def test_tracking_by_fft_gives_what_stands_in_a_voice() -> None:
    audio = tone(150 * 2 ** (0.5 * np.sin(np.pi * np.arange(2 * RATE) / RATE)), 2.0)
    audio[round(0.9 * RATE) : round(1.2 * RATE)] = 0.0

    found, expected = swift().track(audio), swift()(torch.from_numpy(audio)[None])[0].numpy()

    both = found > 0
    np.testing.assert_array_equal(both, expected > 0)
    # between the harmonics of a tone without noise the network reads the rounding itself
    assert cents(found[both], expected[both]).max() < 0.2


def refined(audio: np.ndarray, coarse_hz: float) -> np.ndarray:
    sound = torch.from_numpy(audio)[None].double()
    windows = refinement_windows()
    parts = []
    for window in windows:
        analysis = Stft(WINDOW, 160)
        analysis.window.copy_(window)
        parts += [part[0].T for part in analysis(sound)]
    spectrum = torch.stack(parts, dim=1)
    return HarmonicRefinement()(torch.full((len(spectrum),), coarse_hz), spectrum).numpy()


@pytest.mark.parametrize("f0_hz", [110.0, 220.0, 440.0, 900.0])
@pytest.mark.parametrize("error_cents", [-60.0, 60.0])
def test_refinement_takes_away_most_of_a_small_error(f0_hz: float, error_cents: float) -> None:
    found = refined(tone(f0_hz), f0_hz * 2 ** (error_cents / 1200))[10:-10]

    # it goes 70 % of the way
    assert np.median(cents(found, f0_hz)) < 0.4 * abs(error_cents)


def test_refinement_leaves_silence_alone() -> None:
    np.testing.assert_array_equal(refined(np.zeros(RATE, np.float32), 200.0), 200.0)


def test_refinement_never_moves_by_more_than_a_semitone_and_a_half() -> None:
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)

    moved = cents(refined(noise, 200.0), 200.0)

    assert 10 < moved.max() < 0.7 * 165


def test_voicing_begins_and_ends_with_the_tone() -> None:
    audio = np.concatenate([np.zeros(RATE // 2, np.float32), tone(200.0, 0.5), np.zeros(RATE // 2, np.float32)])

    voiced = np.flatnonzero(swift().track(audio))

    assert abs(voiced[0] - 50) <= 4
    assert abs(voiced[-1] - 99) <= 4


@pytest.mark.parametrize("method", ["harvest", "dio"])
@pytest.mark.parametrize("f0_hz", [110.0, 277.0])
def test_world_finds_the_pitch_of_harmonic_tones(method: str, f0_hz: float) -> None:
    found = WorldPitch(method=method).track(tone(f0_hz, 0.5))[5:-5]  # type: ignore[arg-type]

    assert len(found) == 40
    assert (found > 0).all()
    assert np.median(cents(found, f0_hz)) < 20


def test_world_calls_silence_unvoiced() -> None:
    assert not WorldPitch(method="dio").track(np.zeros(RATE // 2, np.float32)).any()


def test_world_frame_is_centred_on_its_ten_milliseconds() -> None:
    # an octave a second: half a frame of offset would be 6 cents
    time = np.arange(RATE) / RATE
    found = WorldPitch(method="harvest").track(tone(120 * 2**time))

    centres = (np.arange(100) + 0.5) / 100
    signed = 1200 * np.log2(found[20:-20] / (120 * 2 ** centres[20:-20]))
    assert abs(np.median(signed)) < 3


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 24000, 44100, 48000])
@pytest.mark.parametrize("extra", [0, 1])
def test_extract_f0_gives_a_hundred_frames_a_second_of_any_rate(rate: int, extra: int) -> None:
    audio = np.pad(tone(200.0, 0.5, rate), (0, extra))

    found = extract_f0(audio, rate, swift())

    assert found.shape == (50 + extra,)
    assert np.median(cents(found[10:40], 200.0)) < 20


def test_extract_f0_of_a_long_recording_does_not_drift() -> None:
    # at 22050 Hz a frame has 220.5 samples: counting 220 would be 4 frames off at the end
    audio = np.concatenate([np.zeros(round(20.3 * 22050), np.float32), tone(200.0, 0.4, 22050)])

    voiced = np.flatnonzero(extract_f0(audio, 22050, swift()))

    assert abs(voiced[0] - 2030) <= 3


def test_trackers_keep_the_protocol() -> None:
    assert isinstance(swift(), PitchTracker)
    assert isinstance(WorldPitch(method="dio"), PitchTracker)
    assert swift().is_exportable and not WorldPitch(method="dio").is_exportable


def test_identity_tells_settings_apart() -> None:
    assert SwiftPitch(voicing_threshold=0.4).identity != SwiftPitch().identity
    assert swift().identity["weights_sha256"] == sha256_of_file(WEIGHTS_FOLDER / BUILTIN)
    assert swift().identity != SwiftPitch().identity
    assert WorldPitch(method="dio").identity != WorldPitch(method="harvest").identity
    assert WorldPitch(method="dio", f_min=60.0).identity != WorldPitch(method="dio").identity


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0, 2.0])
def test_voicing_threshold_out_of_range_is_refused_naming_the_key(value: float) -> None:
    with pytest.raises(ConfigError, match=r"pitch\.voicing_threshold=.* between 0 and 1"):
        SwiftPitch(voicing_threshold=value)


def test_world_range_out_of_order_is_refused_naming_both_keys() -> None:
    with pytest.raises(ConfigError, match=r"pitch\.f_min=500.* pitch\.f_max=100"):
        WorldPitch(method="dio", f_min=500.0, f_max=100.0)


def test_level_does_not_change_the_pitch() -> None:
    audio = tone(200.0)

    loud, quiet = swift().track(audio)[10:-10], swift().track(audio * 0.05)[10:-10]

    both = (loud > 0) & (quiet > 0)
    assert both.mean() > 0.9
    assert np.median(cents(loud[both], quiet[both])) < 5


def test_resampled_tone_keeps_its_pitch() -> None:
    audio = soxr.resample(tone(220.0, 0.5, 44100), 44100, RATE).astype(np.float32)

    assert np.median(cents(swift().track(audio)[10:40], 220.0)) < 20
