"""The queues between PortAudio's thread and the conversion."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from utils.live import devices
from utils.live.devices import DeviceLostError, SoundDevice

FINE = SimpleNamespace(input_overflow=False, output_underflow=False)


class Library:
    """Stands for the module sounddevice."""

    class PortAudioError(Exception):
        pass

    def __init__(self) -> None:
        self.refuses = False
        self.streams: list[Any] = []

    def InputStream(self, **settings: Any) -> Any:  # noqa: N802  the library's name
        if self.refuses:
            raise self.PortAudioError("Invalid device [PaErrorCode -9996]")
        stream = SimpleNamespace(
            active=True, latency=0.03, settings=settings, start=lambda: None, abort=lambda: None, close=lambda: None
        )
        self.streams.append(stream)
        return stream

    OutputStream = InputStream


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    played = Library()
    monkeypatch.setattr(devices, "sound_library", lambda: played)
    monkeypatch.setattr(devices, "GONE_SECONDS", 0.01)
    return played


def opened(**changes: Any) -> SoundDevice:
    device = SoundDevice(
        None, "pulse", **{"sample_rate": 100, "block": 10, "slack": 4, "device_seconds": 0.07, **changes}
    )
    assert device.open() == pytest.approx(0.06)
    return device


def take(device: SoundDevice, audio: np.ndarray, status: Any = FINE) -> None:
    device._take(audio[:, None].astype(np.float32), len(audio), None, status)


def give(device: SoundDevice, count: int) -> list[float]:
    played = np.full((count, 1), 9.0, np.float32)
    device._give(played, count, None, FINE)
    values: list[float] = played[:, 0].tolist()
    return values


def test_both_devices_are_asked_to_hold_what_is_wanted(library: Library) -> None:
    opened()

    assert [stream.settings["latency"] for stream in library.streams] == [0.07, 0.07]


def test_blocks_are_made_of_what_the_microphone_gives(library: Library) -> None:
    device = opened()
    for start in range(0, 24, 6):
        take(device, np.arange(start, start + 6))

    assert device.read()[0].tolist() == list(range(10))
    assert device.read()[0].tolist() == list(range(10, 20))
    with pytest.raises(DeviceLostError, match="no sound from the microphone"):
        device.read()


def test_loudspeaker_begins_with_the_slack_and_says_when_it_ran_dry(library: Library) -> None:
    device = opened()
    assert give(device, 3) == [0, 0, 0]  # nothing is converted yet; the slack is kept
    assert not device.write(np.arange(1, 11, dtype=np.float32))
    assert give(device, 6) == [0, 0, 0, 0, 1, 2]
    assert give(device, 10) == [3, 4, 5, 6, 7, 8, 9, 10, 0, 0]
    assert device.write(np.ones(10, np.float32))
    assert not device.write(np.ones(10, np.float32))


def test_delay_is_bounded(library: Library) -> None:
    device = opened()
    for value in range(5):
        device.write(np.full(10, value, np.float32))

    assert give(device, 25) == [2] * 4 + [3] * 10 + [4] * 10 + [0]


def test_sound_that_waits_too_long_is_dropped_and_said(library: Library) -> None:
    device = opened()
    take(device, np.arange(200))  # a second may wait, and a block
    block, was_lost = device.read()

    assert was_lost and block.tolist() == list(range(90, 100))
    assert not device.read()[1]


def test_lost_devices_are_told(library: Library) -> None:
    device = opened()
    library.streams[1].active = False
    with pytest.raises(DeviceLostError, match="loudspeaker is gone"):
        device.write(np.zeros(10, np.float32))

    library.refuses = True
    with pytest.raises(
        DeviceLostError, match=r"input and output the system's and pulse cannot be used at 100 Hz.*-9996"
    ):
        device.open()
