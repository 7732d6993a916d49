"""A voice on a device: runs its graph by the rules of a pipeline, whoever calls, from any thread."""

import logging
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from utils.errors import ConfigError, FormatError
from utils.inference.devices import Device, find_device
from utils.inference.errors import (
    DeviceError,
    GraphFailedError,
    InvalidParameterError,
    PipelineClosedError,
    VoiceLoadError,
)
from utils.inference.figures import track_pitch
from utils.inference.measures import PitchMeter, automatic_shift, limited_shift
from utils.inference.opening import graph_of
from utils.inference.options import ConversionOptions
from utils.inference.session import ControlValues, VoiceSession
from utils.inference.source import Sound
from utils.inference.statistics import Counts
from utils.voice_file.controls import refuse_idle_controls
from utils.voice_file.speakers import speaker_number

log = logging.getLogger(__name__)


class OpenedVoice:
    """A Converter (see utils.inference.pipeline) on a device.

    Args:
        graph: the exported voice.
        device: name of the device, or "auto".
        num_threads: of one run.
        cpu_retry: run again on the processor when the device fails.
    Attributes:
        sample_rate: of the voice.
        whole_seconds: longest audio that is best given in one piece.
        device: that runs the graph.
        counts: what was done with it.
    Raises:
        FormatError: if the graph cannot be loaded.
        DeviceError: if the device is not there, or onnxruntime cannot use it.
    """

    def __init__(self, graph: Path, *, device: str, num_threads: int, cpu_retry: bool) -> None:
        wanted = find_device(device)
        session = VoiceSession.open(graph, num_threads, providers=wanted.providers)
        self.device = _used_device(wanted, session)
        self.sample_rate, self.whole_seconds = session.sample_rate, session.whole_seconds
        self.counts = Counts()
        self._session: VoiceSession | None = session
        self._on_cpu: VoiceSession | None = None
        self._retries = cpu_retry and not self.device.is_cpu
        self._opening = threading.Lock()
        self._local = threading.local()

    @property
    def session(self) -> VoiceSession:
        """The graph.

        Raises:
            PipelineClosedError: after `close`.
        """
        session = self._session
        if session is None:
            raise PipelineClosedError("the pipeline was closed; open another one")
        return session

    def close(self) -> None:
        """Give the memory back when the conversions that run have ended."""
        self._session = self._on_cpu = None

    def run(self, audio: np.ndarray, controls: ControlValues | None = None) -> np.ndarray:
        """Run the graph on [T], on the processor where the device failed and that was asked for.

        Raises:
            GraphFailedError: if it fails, or what it makes is not finite.
        """
        session = self.session
        try:
            made = session.run(audio, controls)
        except FormatError as error:
            if not self._retries:
                raise GraphFailedError(str(error)) from error
            log.warning("%s failed, the processor converts instead: %s", self.device.name, error)
            self.counts.add("cpu_retries")
            made = self._run_on_cpu(session, audio, controls)
        broken = int(np.count_nonzero(~np.isfinite(made)))
        if broken:
            raise GraphFailedError(f"{session.path.name} made {broken} of {made.size} samples that are not finite")
        return made

    def controls_of(self, options: ConversionOptions) -> dict[str, float]:
        """Return the values of the graph's controls; an automatic pitch_shift is left out.

        Raises:
            InvalidParameterError: if the voice does not have a control, or it does nothing.
        """
        session, values = self.session, options.asked
        if values.get("pitch_shift") == 0 and not session.has_control("pitch_shift"):
            del values["pitch_shift"]
        try:
            refuse_idle_controls({**values, **options.automatic}, session.idle_controls, session.path.name)
            if options.speaker is not None:
                values["speaker_id"] = speaker_number_of(session, options.speaker)
            session.check_controls(values | dict.fromkeys(options.automatic, 0.0))
        except ConfigError as error:
            raise InvalidParameterError(str(error)) from error
        return values

    def check(self, options: ConversionOptions) -> None:
        """Refuse what the voice cannot do, before there is any audio.

        Raises:
            InvalidParameterError: if it lacks a control or a speaker, or does not tell the median pitch that an
                automatic shift needs.
        """
        controls = self.controls_of(options)
        if options.pitch_step is not None:
            target_median_hz(self.session, controls, str(options.pitch_shift_semitones))

    def shift_for(self, sound: Sound, options: ConversionOptions, controls: ControlValues) -> float:
        """Return the automatic pitch_shift for a recording at the voice's rate.

        Raises:
            InvalidParameterError: if the graph does not tell its median pitch, or a package is missing.
        """
        session = self.session
        target = target_median_hz(session, controls, str(options.pitch_shift_semitones))
        pitch = track_pitch(self.meter, sound, session.sample_rate)
        return limited_shift(automatic_shift(pitch, target, options.pitch_step or 1))

    def _run_on_cpu(self, session: VoiceSession, audio: np.ndarray, controls: ControlValues | None) -> np.ndarray:
        with self._opening:
            if self._on_cpu is None:
                self._on_cpu = VoiceSession.open(session.path, session.num_threads)
            on_cpu = self._on_cpu
        try:
            return on_cpu.run(audio, controls)
        except FormatError as error:
            raise GraphFailedError(str(error)) from error

    @property
    def meter(self) -> PitchMeter:
        """The pitch meter of this thread; loaded when one is needed.

        Raises:
            InvalidParameterError: if its package is missing.
        """
        if not hasattr(self._local, "meter"):
            try:
                self._local.meter = PitchMeter()
            except ConfigError as error:
                raise InvalidParameterError(str(error)) from error
        meter: PitchMeter = self._local.meter
        return meter


def open_voice(
    voice: Path,
    *,
    device: str,
    num_threads: int,
    cpu_retry: bool,
    index: Path | None,
    export_options: Sequence[str],
    cache: Path | None,
) -> OpenedVoice:
    """Open any voice; see VoiceConversionPipeline for the arguments.

    Raises:
        VoiceLoadError: if it cannot be opened.
        DeviceError: if the device cannot be used.
    """
    try:
        graph = graph_of(voice, cache=cache, options=export_options, index=index)
        return OpenedVoice(graph, device=device, num_threads=num_threads, cpu_retry=cpu_retry)
    except DeviceError:
        raise
    except (ConfigError, FormatError) as error:
        raise VoiceLoadError(error.lines[0], hint=error.hint) from error


def speaker_number_of(session: VoiceSession, speaker: str | int, key: str = "speaker") -> int:
    """Return the speaker_id of a name or number that stood under a key.

    Raises:
        ConfigError: if the voice has no such speaker.
    """
    if not session.speakers and isinstance(speaker, int):  # a graph of another program, which has numbers alone
        return speaker
    return speaker_number(speaker, session.speakers, key, session.path.name)


def target_median_hz(session: VoiceSession, controls: ControlValues, asked: str) -> float:
    """Return the median pitch of the speaker that the controls choose.

    Args:
        session: the voice.
        controls: with speaker_id, or without for the default one.
        asked: value of pitch_shift, for the message.
    Raises:
        InvalidParameterError: if the graph does not tell.
    """
    median = session.f0_median_hz(int(controls["speaker_id"]) if "speaker_id" in controls else None)
    if median is None:
        words = f"needs the target's median pitch, which {session.path.name} does not tell; give semitones"
        raise InvalidParameterError(f"pitch_shift={asked} {words}")
    return median


def _used_device(asked: Device, session: VoiceSession) -> Device:
    """Return the device that onnxruntime really uses.

    Raises:
        DeviceError: if it is not the one that somebody asked for by name.
    """
    if asked.providers[0] in session.providers:
        return asked
    words = f"onnxruntime cannot use {asked.name} here (it has {', '.join(session.providers)})"
    if not asked.is_chosen:
        raise DeviceError(f"device={asked.name}: {words}; see what it printed, or take device=cpu")
    log.warning("%s; the processor is used", words)
    return Device("cpu", is_chosen=True)
