"""What live.py does."""

import logging
import sys
import threading
import time
from collections.abc import Mapping

import numpy as np

from utils.config.live import LiveJob
from utils.console import emit, table, tell
from utils.files import atomic_write_json, check_new_file
from utils.live.converter import BlockConverter, open_converter
from utils.live.devices import SoundDevice, device_table
from utils.live.gate import NoiseGate
from utils.live.loop import LiveLoop, LiveSettings
from utils.live.meters import LiveMeters
from utils.live.priority import come_first

METER_SECONDS = 5.0
WARM_UP_BLOCKS = 5
log = logging.getLogger(__name__)


def run_live(job: LiveJob) -> None:
    """Convert until Ctrl-C, or list the sound devices.

    Raises:
        ConfigError: if a package or device is absent or a control does not fit the voice.
        FormatError: if the voice cannot be opened.
        DeviceLostError: if the sound devices cannot be opened.
    """
    if job.devices:
        emit(table(device_table(), ["number", "name", "inputs", "outputs", "Hz"]))
        return
    assert job.voice is not None
    if job.report is not None:
        check_new_file(job.report, "report", [job.voice])
    if job.priority:  # before threads are started, which inherit it
        tell(f"priority: {come_first() or 'usual, the system allows no other'}")
    converter, controls = open_converter(
        job.voice, block_ms=job.block_ms, history_ms=job.history_ms, ahead_ms=job.ahead_ms, threads=job.threads,
        controls=job.controls, speaker=job.speaker,
    )  # fmt: skip
    _warm_up(converter, controls)
    rate = converter.sample_rate
    slack = round(job.slack_ms / 1000 * rate)
    device = SoundDevice(
        job.input,
        job.output,
        sample_rate=rate,
        block=converter.block,
        slack=slack,
        device_seconds=job.device_ms / 1000,
    )
    meters = LiveMeters(converter.block / rate, (converter.block + converter.delay + slack) / rate)
    settings = LiveSettings(controls, job.bypass, job.monitor)
    loop = LiveLoop(device, converter, NoiseGate(job.gate_db, rate), meters, settings)
    if sys.stdin is not None and sys.stdin.isatty():
        threading.Thread(target=follow_keys, args=(settings,), daemon=True).start()
        tell("b: own voice and back, + and -: a semitone, q: end, each with Enter")
    _run_with_meters(loop, job.seconds)
    emit(meters.line)
    emit(
        f"late by {1000 * (meters.delay_seconds + meters.device_seconds):.0f} ms: {1000 * meters.delay_seconds:.0f} of "
        f"block, look-ahead and slack, {1000 * meters.device_seconds:.0f} of the sound devices as they state it"
    )
    if job.report is not None:
        atomic_write_json(job.report, meters.figures)


def _warm_up(converter: BlockConverter, controls: Mapping[str, float]) -> None:
    """Let the runtime allocate what it needs, so that the first blocks are not the slow ones."""
    for _ in range(WARM_UP_BLOCKS):
        converter.process(np.zeros(converter.block, np.float32), controls)
    converter.reset()


def _run_with_meters(loop: LiveLoop, seconds: float | None) -> None:
    started = shown = time.monotonic()

    def should_go_on() -> bool:
        nonlocal shown
        now = time.monotonic()
        if now - shown >= METER_SECONDS:
            shown = now
            tell(loop.meters.line)
        return seconds is None or now - started < seconds

    try:
        loop.run(should_go_on)
    except KeyboardInterrupt:
        log.debug("ended by Ctrl-C")


def follow_keys(settings: LiveSettings) -> None:
    """Change the settings by what is typed, until the end of standard input."""
    for line in sys.stdin:
        tell(change(settings, line.strip()))


def change(settings: LiveSettings, key: str) -> str:
    """Do what a key asks for; return what to tell about it."""
    if key == "b":
        settings.is_bypassed = not settings.is_bypassed
        return "your own voice" if settings.is_bypassed else "the converted voice"
    if key in ("+", "-"):
        shift = settings.controls.get("pitch_shift", 0.0) + (1.0 if key == "+" else -1.0)
        settings.controls = {**settings.controls, "pitch_shift": max(-36.0, min(36.0, shift))}
        return f"pitch_shift={settings.controls['pitch_shift']:g}"
    if key == "q":
        settings.is_ended = True
        return "ending"
    return "b: own voice and back, + and -: a semitone, q: end"
