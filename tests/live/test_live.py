"""A live conversion with sound devices that tests play."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from utils.config.live import live_job
from utils.errors import ConfigError, FormatError
from utils.live import devices
from utils.live.converter import StreamConverter, open_converter
from utils.live.devices import DeviceLostError
from utils.live.gate import NoiseGate
from utils.live.loop import LiveLoop, LiveSettings
from utils.live.meters import LiveMeters
from utils.live.program import change, run_live

RATE, BLOCK, DELAY = 16000, 160, 80


class Doubling:
    """A voice that is twice as loud, DELAY samples late."""

    block, delay, sample_rate = BLOCK, DELAY, RATE

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.tail = np.zeros(DELAY, np.float32)

    def process(self, block: np.ndarray, controls: Mapping[str, float] | None = None) -> np.ndarray:
        sound = np.concatenate([self.tail, block])
        self.tail = sound[BLOCK:]
        return 2 * sound[:BLOCK]


class PlayedDevice:
    """A microphone that hears a recording, and goes away at a block if asked to."""

    def __init__(self, audio: np.ndarray, lost_at: int | None = None, refusals: int = 0) -> None:
        self.blocks = list(audio.reshape(-1, BLOCK))
        self.played: list[np.ndarray] = []
        self.lost_at, self.refusals, self.is_open = lost_at, refusals, False

    def open(self) -> float:
        self.is_open = True
        return 0.02

    def reopen(self, seconds: float) -> float:
        self.close()
        if self.refusals:
            self.refusals -= 1
            raise DeviceLostError("not yet")
        return self.open()

    def read(self) -> tuple[np.ndarray, bool]:
        if self.lost_at == len(self.played):
            self.lost_at = None
            raise DeviceLostError("the microphone is gone")
        return self.blocks.pop(0), False

    def write(self, audio: np.ndarray) -> bool:
        self.played.append(audio)
        return len(self.played) == 3

    def close(self) -> None:
        self.is_open = False


def converse(device: PlayedDevice, settings: LiveSettings, gate_db: float = -80.0) -> tuple[np.ndarray, LiveMeters]:
    meters = LiveMeters(BLOCK / RATE, (BLOCK + DELAY) / RATE)
    loop = LiveLoop(device, Doubling(), NoiseGate(gate_db, RATE), meters, settings)
    loop.run(lambda: bool(device.blocks))
    return np.concatenate(device.played), meters


def sound(blocks: int = 6) -> np.ndarray:
    return np.random.default_rng(3).uniform(-0.3, 0.3, blocks * BLOCK).astype(np.float32)


def late(audio: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros(DELAY, np.float32), audio])[: len(audio)]


def test_what_is_heard_is_converted_and_counted() -> None:
    device = PlayedDevice(sound())
    played, meters = converse(device, LiveSettings())

    np.testing.assert_array_equal(played, 2 * late(sound()))
    assert (meters.blocks, meters.late_blocks, meters.lost_inputs) == (6, 1, 0)
    assert meters.figures["delay_ms"] == pytest.approx(15.0)
    assert meters.figures["device_latency_ms"] == pytest.approx(20.0)
    assert not device.is_open


def test_own_voice_is_as_late_as_the_converted_one() -> None:
    bypassed, _ = converse(PlayedDevice(sound()), LiveSettings(is_bypassed=True))
    monitored, _ = converse(PlayedDevice(sound()), LiveSettings(monitor=0.5))

    np.testing.assert_array_equal(bypassed, late(sound()))
    np.testing.assert_allclose(monitored, 2.5 * late(sound()), rtol=1e-6)


def test_too_loud_is_cut_not_wrapped() -> None:
    played, _ = converse(PlayedDevice(3 * sound()), LiveSettings())
    assert np.abs(played).max() == 1.0


def test_a_device_that_went_away_is_opened_again(capsys: pytest.CaptureFixture[str]) -> None:
    device = PlayedDevice(sound(), lost_at=2, refusals=2)
    played, meters = converse(device, LiveSettings())

    assert len(played) == len(sound()) and meters.reopened == 1
    np.testing.assert_array_equal(played[2 * BLOCK :], 2 * late(sound()[2 * BLOCK :]))  # a new stream
    assert "the microphone is gone; waiting for it" in capsys.readouterr().err


def test_end_is_obeyed_after_the_block() -> None:
    settings = LiveSettings(is_ended=True)
    device = PlayedDevice(sound())
    LiveLoop(device, Doubling(), NoiseGate(-80, RATE), LiveMeters(1, 1), settings).run(lambda: True)
    assert device.played == []


def test_gate_silences_noise_and_keeps_words_whole() -> None:
    speech = np.sin(np.arange(RATE) / 5).astype(np.float32) * 0.1
    noise = np.random.default_rng(0).normal(0, 1e-4, RATE).astype(np.float32)  # -80 dB
    audio = np.concatenate([noise, speech + noise, noise])
    gate = NoiseGate(-60.0, RATE)
    gated = np.concatenate([gate.process(part) for part in np.split(audio, 15)])

    assert not gated[:RATE].any()
    np.testing.assert_array_equal(gated[RATE + 160 : 2 * RATE + 3040], audio[RATE + 160 : 2 * RATE + 3040])
    assert not gated[2 * RATE + 3200 :].any()
    np.testing.assert_array_equal(NoiseGate(-80.0, RATE).process(audio), audio)


def test_keys_change_what_is_heard() -> None:
    settings = LiveSettings({"pitch_shift": 35.0})

    assert change(settings, "b") == "your own voice" and settings.is_bypassed
    assert [change(settings, "+") for _ in range(2)] == ["pitch_shift=36", "pitch_shift=36"]
    assert change(settings, "-") == "pitch_shift=35"
    assert "semitone" in change(settings, "?")
    change(settings, "q")
    assert settings.is_ended


def test_a_stream_takes_the_multiple_of_its_block_that_comes_nearest() -> None:
    class Stream:
        sample_rate = RATE

        class facts:  # noqa: N801
            block, look_ahead = 320, 160

        def process_blocks(self) -> None: ...

        def reset(self) -> None: ...

    blocks = [StreamConverter(Stream(), block_ms).block for block_ms in (20.0, 45.0, 100.0)]  # type: ignore[arg-type]
    assert blocks == [320, 640, 1600]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], "(?s)voice is missing.*devices=true"),
        (["voice=a.onnx", "block_ms=5"], "block_ms=5"),
        (["voice=a.onnx", "gate_db=3"], "gate_db=3"),
        (["voice=a.onnx", "seconds=0"], "seconds=0"),
    ],
)
def test_what_does_not_fit_is_one_line(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        live_job(overrides)


def test_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sounddevice", None)
    with pytest.raises(ConfigError, match="pip install sounddevice"):
        run_live(live_job(["devices=true"]))
    with pytest.raises(ConfigError, match="pip install sounddevice"):
        devices.sound_library()


def test_speakers_by_name_and_number(tmp_path: Path) -> None:
    from utils.live.converter import _speaker_control

    assert _speaker_control("ben", ["anna", "ben"]) == {"speaker_id": 1.0}
    assert _speaker_control(0, ["anna", "ben"]) == {"speaker_id": 0.0}
    assert _speaker_control(None, []) == {}
    with pytest.raises(ConfigError, match="speaker=carl is not in this voice; it has anna, ben"):
        _speaker_control("carl", ["anna", "ben"])
    with pytest.raises(FormatError, match="a_sr24000_hop240_nfft960"):
        open_converter(
            tmp_path / "a_sr24000_hop240_nfft960.onnx", block_ms=100, history_ms=500, ahead_ms=60, threads=1,
            controls={}, speaker=None,
        )  # fmt: skip


def test_figures_are_plain_numbers() -> None:
    meters = LiveMeters(0.1, 0.2)
    meters.count(0.03, sound(), sound(), was_late=False, was_lost=True)
    figures = json.loads(json.dumps(meters.figures))

    assert figures["p50_ms"] == pytest.approx(30.0) and figures["lost_inputs"] == 1
    assert "late 0 of 1" in meters.line
