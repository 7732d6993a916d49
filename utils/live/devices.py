"""Sound devices by sounddevice (PortAudio), an optional package."""

import sys
import threading
import time
from contextlib import suppress
from typing import Any

import numpy as np

from utils.errors import ConfigError, WorkbenchError

INSTALL = "pip install sounddevice  (on Linux also: apt install libportaudio2)"
MOST_WAITING_SECONDS = 1.0  # of sound that waits to be converted; older sound is dropped
GONE_SECONDS = 2.0  # without sound: the microphone is gone


class DeviceLostError(WorkbenchError):
    """A sound device is gone or refuses to work."""


def sound_library() -> Any:
    """Return the module sounddevice.

    Raises:
        ConfigError: if it or PortAudio is not installed.
    """
    try:
        import sounddevice
    except ImportError:
        raise ConfigError(f"live.py needs the package sounddevice: {INSTALL}") from None
    except OSError as error:  # without the library PortAudio
        raise ConfigError(f"live.py needs PortAudio ({error}): {INSTALL}") from None
    return sounddevice


def device_table() -> list[list[str]]:
    """Return number, name, channels in and out, rate of each sound device."""
    library = sound_library()
    default_in, default_out = library.default.device
    return [
        [
            f"{number}{' (microphone)' * (number == default_in)}{' (loudspeaker)' * (number == default_out)}",
            device["name"], str(device["max_input_channels"]), str(device["max_output_channels"]),
            f"{device['default_samplerate']:.0f}",
        ]
        for number, device in enumerate(library.query_devices())
    ]  # fmt: skip


class SoundDevice:
    """A microphone and a loudspeaker, read and written block by block; one channel in, one out.

    PortAudio's own thread moves sound in small pieces between the devices and two queues here. The queue of the
    loudspeaker begins with `slack` samples of silence, so that one slow block is not heard. When it has run dry, or
    the clocks of two devices differ, it may grow; what exceeds one more block is dropped, so that the delay is bounded.

    Args:
        microphone: number or part of a name; None for the system's.
        loudspeaker: the same.
        sample_rate: the system converts to it where it can.
        block: samples that are read and written at a time.
        slack: see above.
        device_seconds: what each device is asked to hold by itself; so long may PortAudio's thread stand still.
    """

    def __init__(
        self,
        microphone: str | int | None,
        loudspeaker: str | int | None,
        *,
        sample_rate: int,
        block: int,
        slack: int,
        device_seconds: float,
    ) -> None:
        self._library = sound_library()
        self._names = (microphone, loudspeaker)
        self._sample_rate, self._block, self._slack = sample_rate, block, slack
        self._device_seconds = device_seconds
        self._streams: list[Any] = []
        self._changed = threading.Condition()
        self._empty_queues()

    def _empty_queues(self) -> None:
        self._heard = np.zeros(0, np.float32)
        self._to_play = np.zeros(self._slack, np.float32)
        self._was_lost = self._ran_dry = self._plays = False

    def open(self) -> float:
        """Begin to record and to play.

        Returns:
            Seconds that the devices say they add, in and out together.
        Raises:
            DeviceLostError: if a device is absent or cannot work at this rate.
        """
        library = self._library
        # Windows alone has to be told that it may convert rates
        extra = library.WasapiSettings(auto_convert=True) if sys.platform == "win32" else None
        common = {
            "samplerate": self._sample_rate, "channels": 1, "dtype": "float32", "latency": self._device_seconds,
            "extra_settings": extra,
        }  # fmt: skip
        microphone, loudspeaker = self._names
        self._empty_queues()
        try:
            # two streams: one for both would stop where the devices have clocks or drivers of their own
            self._streams.append(library.InputStream(device=microphone, callback=self._take, **common))
            self._streams.append(library.OutputStream(device=loudspeaker, callback=self._give, **common))
            for stream in self._streams:
                stream.start()
        except (library.PortAudioError, ValueError) as error:
            self.close()
            shown = " and ".join("the system's" if name is None else str(name) for name in self._names)
            raise DeviceLostError(
                f"input and output {shown} cannot be used at {self._sample_rate} Hz: {str(error).splitlines()[0]}; "
                "python live.py devices=true lists them, export.rates=[48000] makes voices of another rate"
            ) from None
        return float(sum(stream.latency for stream in self._streams))

    def _take(self, heard: np.ndarray, frames: int, time_info: Any, status: Any) -> None:
        """Take [N, 1] from the microphone: called by PortAudio."""
        with self._changed:
            self._was_lost |= bool(status.input_overflow)
            self._heard = np.concatenate([self._heard, heard[:, 0]])
            most = self._block + round(MOST_WAITING_SECONDS * self._sample_rate)
            if len(self._heard) > most:
                self._heard, self._was_lost = self._heard[-most:], True
            self._changed.notify()

    def _give(self, played: np.ndarray, frames: int, time_info: Any, status: Any) -> None:
        """Give [N, 1] to the loudspeaker: called by PortAudio."""
        with self._changed:
            ready = min(frames, len(self._to_play)) if self._plays else 0
            self._ran_dry |= self._plays and (ready < frames or bool(status.output_underflow))
            played[:ready, 0], played[ready:, 0] = self._to_play[:ready], 0.0
            self._to_play = self._to_play[ready:]

    def read(self) -> tuple[np.ndarray, bool]:
        """Wait for the next block; return [block] and whether sound was lost before it.

        Raises:
            DeviceLostError: if no sound comes any more.
        """
        with self._changed:
            comes = self._streams[0].active and self._changed.wait_for(
                lambda: len(self._heard) >= self._block, timeout=GONE_SECONDS
            )
            if not comes:
                raise DeviceLostError(f"no sound from the microphone for {GONE_SECONDS:g} s")
            block, self._heard = self._heard[: self._block], self._heard[self._block :]
            was_lost, self._was_lost = self._was_lost, False
        return block, was_lost

    def write(self, audio: np.ndarray) -> bool:
        """Play [block] after what is queued; return whether the loudspeaker has run dry since the last block.

        Raises:
            DeviceLostError: if it is gone.
        """
        if not self._streams[-1].active:
            raise DeviceLostError("the loudspeaker is gone")
        with self._changed:
            self._to_play = np.concatenate([self._to_play, audio])
            surplus = len(self._to_play) - (self._slack + 2 * self._block)
            if surplus > 0:
                self._to_play = self._to_play[surplus:]
            self._plays = True
            ran_dry, self._ran_dry = self._ran_dry, False
        return ran_dry

    def reopen(self, seconds: float) -> float:
        """Wait, ask the system anew which devices there are, and open; as `open`."""
        self.close()
        time.sleep(seconds)
        self._library._terminate()  # PortAudio lists the devices only when it starts
        self._library._initialize()
        return self.open()

    def close(self) -> None:
        """Stop at once."""
        for stream in self._streams:
            with suppress(self._library.PortAudioError):
                stream.abort()
                stream.close()
        self._streams = []
