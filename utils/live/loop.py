"""The loop of a live conversion: read, gate, convert, play, count."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from utils.console import tell
from utils.live.converter import BlockConverter
from utils.live.devices import DeviceLostError
from utils.live.gate import NoiseGate
from utils.live.meters import LiveMeters

RETRY_SECONDS = 1.0


class Device(Protocol):
    """A microphone and a loudspeaker; SoundDevice is one."""

    def open(self) -> float: ...
    def read(self) -> tuple[np.ndarray, bool]: ...
    def write(self, audio: np.ndarray) -> bool: ...
    def reopen(self, seconds: float) -> float: ...
    def close(self) -> None: ...


@dataclass
class LiveSettings:
    """What may be changed while it runs.

    Attributes:
        controls: values of the graph's optional inputs.
        is_bypassed: whether the own voice is heard, as late as the converted one.
        monitor: share of the own voice that is heard with the converted one.
        is_ended: whether to end after the block.
    """

    controls: dict[str, float] = field(default_factory=dict)
    is_bypassed: bool = False
    monitor: float = 0.0
    is_ended: bool = False


class LiveLoop:
    """Convert what a device hears and let it play that.

    Args:
        device: where sound comes from and goes to.
        converter: the voice.
        gate: what is silence.
        meters: where blocks are counted.
        settings: may be changed by others while the loop runs.
    """

    def __init__(
        self, device: Device, converter: BlockConverter, gate: NoiseGate, meters: LiveMeters, settings: LiveSettings
    ) -> None:
        self.device, self.converter, self.gate, self.meters, self.settings = device, converter, gate, meters, settings
        self._own = np.zeros(converter.delay, np.float32)

    def run(self, should_go_on: Callable[[], bool]) -> None:
        """Convert until should_go_on or the settings say otherwise. A device that goes away is opened again.

        Raises:
            DeviceLostError: if a device cannot be opened at the start.
            FormatError: if the graph fails.
        """
        self.meters.device_seconds = self.device.open()
        try:
            while should_go_on() and not self.settings.is_ended:
                try:
                    self.step()
                except DeviceLostError as error:
                    tell(f"{error}; waiting for it")
                    self._reopen(should_go_on)
        finally:
            self.device.close()

    def step(self) -> None:
        """Convert one block."""
        heard, was_lost = self.device.read()
        started = time.perf_counter()
        given = self.gate.process(heard)
        own = np.concatenate([self._own, given])
        own, self._own = own[: len(given)], own[len(given) :]
        # converted also while it is bypassed, so that nothing is missing when the voice comes back
        made = self.converter.process(given, self.settings.controls)
        spoken = own if self.settings.is_bypassed else made + self.settings.monitor * own
        played = np.clip(spoken, -1.0, 1.0).astype(np.float32)
        seconds = time.perf_counter() - started
        was_late = self.device.write(played)
        self.meters.count(seconds, heard, played, was_late=was_late, was_lost=was_lost)

    def _reopen(self, should_go_on: Callable[[], bool]) -> None:
        while should_go_on() and not self.settings.is_ended:
            try:
                self.meters.device_seconds = self.device.reopen(RETRY_SECONDS)
            except DeviceLostError:
                continue
            self.converter.reset()
            self._own = np.zeros(self.converter.delay, np.float32)
            self.meters.reopened += 1
            tell("the sound devices are back")
            return
