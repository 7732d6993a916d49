"""An exported voice in onnxruntime."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from utils.errors import ConfigError, FormatError
from utils.inference.run_limit import RunLimit
from utils.voice_file.control_inputs import default_feed, other_inputs, settable_controls
from utils.voice_file.controls import SPEAKER_CONTROLS, control_arrays, find_control
from utils.voice_file.delivered import changed_since_export
from utils.voice_file.metadata import IDLE_KEY, VoiceMetadata
from utils.voice_file.names import is_stream_file, parse_file_name
from utils.voice_file.runtime import CPU_PROVIDER, RUNTIME_ERRORS, graph_values, open_session, stored_metadata
from utils.voice_file.signature import FLOAT, GraphValue

KEPT_SECONDS = 5.0
LIMIT_SECONDS, LIMIT_PER_SECOND = 60.0, 20.0  # of the clock, of which sound voices take 1 to 2 for a second of audio
# What goes through a graph at once. The memory of a run grows with the audio and with the network: of a large one less
# fits, and attention over all frames, as RVC has it, grows with the square.
WHOLE_SECONDS, LARGE_WHOLE_SECONDS = 64.0, 30.0
LARGE_BYTES = 100_000_000
ControlValues = Mapping[str, float]
log = logging.getLogger(__name__)


class VoiceSession:
    """A graph from audio to audio, ready to run. Make it with `open`.

    Attributes:
        path: the file.
        sample_rate: rate of the audio in and out.
        metadata: what the exporter stored; None for a graph of another program.
        num_threads: threads of one run.
        whole_seconds: longest audio that is best given in one piece.
    """

    def __init__(
        self,
        path: Path,
        session: onnxruntime.InferenceSession,
        *,
        sample_rate: int,
        metadata: VoiceMetadata | None,
        num_threads: int,
    ) -> None:
        self.path = path
        self.sample_rate = sample_rate
        self.metadata = metadata
        self.num_threads = num_threads
        self.whole_seconds = LARGE_WHOLE_SECONDS if path.stat().st_size > LARGE_BYTES else WHOLE_SECONDS
        self._session, self._defaults = session, default_feed(session, metadata)
        self._limit = RunLimit()
        self._input = session.get_inputs()[0].name
        self._output = session.get_outputs()[0].name

    @classmethod
    def open(cls, path: Path, num_threads: int = 1, *, providers: Sequence[str] = (CPU_PROVIDER,)) -> "VoiceSession":
        """Load a graph.

        The rate is taken from the metadata, or from the file name of a graph without.

        Args:
            path: the file.
            num_threads: threads of one run.
            providers: see open_session.

        Raises:
            FormatError: if the file is missing, onnxruntime cannot load it, it needs more than audio, or its rate is
                neither in its metadata nor in its name.
        """
        changed = changed_since_export(path)
        if changed is not None:
            log.warning("%s", changed)
        session = open_session(path, num_threads, providers=providers)
        if is_stream_file(path):
            whole = path.name.replace("_stream.onnx", ".onnx")
            raise FormatError(f"{path} converts streams, block by block; give {whole} for recordings")
        metadata = stored_metadata(session, str(path))
        required = other_inputs(session, metadata)
        if [value.type for value in required] != [FLOAT] or len(required[0].shape) != 2:
            shown = ", ".join(f"{value.name} {value.type} {list(value.shape)}" for value in required)
            raise FormatError(f"{path} is no graph from audio to audio: it requires {shown}; use export_onnx.py")
        rate = metadata.sample_rate if metadata else parse_file_name(path).sample_rate
        return cls(path, session, sample_rate=rate, metadata=metadata, num_threads=num_threads)

    @property
    def name(self) -> str:
        """Name of the voice."""
        return self.metadata.name if self.metadata else self.path.stem

    @property
    def providers(self) -> list[str]:
        """The providers of onnxruntime that run it."""
        return list(self._session.get_providers())

    @property
    def inputs(self) -> list[GraphValue]:
        """What a caller must give."""
        return graph_values(self._session.get_inputs())

    @property
    def overridable(self) -> list[GraphValue]:
        """What a caller may give: the controls, whether they have a default in the graph or in its metadata alone."""
        return settable_controls(self._session, self.metadata)

    @property
    def outputs(self) -> list[GraphValue]:
        """What comes back."""
        return graph_values(self._session.get_outputs())

    @property
    def speakers(self) -> list[str]:
        """Names of the voices in the graph; the index is the speaker_id."""
        return [speaker.name for speaker in self.metadata.speakers] if self.metadata else []

    def has_control(self, name: str) -> bool:
        """Whether the graph has an optional input of a name."""
        return any(value.name == name for value in self.overridable)

    @property
    def idle_controls(self) -> frozenset[str]:
        """Names of the controls that do nothing; none where the file does not say."""
        stated = self.metadata.extra.get(IDLE_KEY) if self.metadata else None
        return frozenset(map(str, stated)) if isinstance(stated, list) else frozenset()

    def f0_median_hz(self, speaker_id: int | None = None) -> float | None:
        """Return the median pitch of a speaker (None: the default one); None where the file does not tell."""
        if self.metadata is None:
            return None
        number = int(self.metadata.defaults.get("speaker_id", 0)) if speaker_id is None else speaker_id
        known = self.metadata.speakers[number].f0_median_hz if 0 <= number < len(self.metadata.speakers) else 0.0
        return known if known > 0 else None

    def check_controls(self, values: ControlValues) -> None:
        """Refuse controls that the graph does not have or cannot take.

        Raises:
            ConfigError: names the control and what is allowed.
        """
        present = {value.name for value in self.overridable}
        for name, value in values.items():
            control = find_control(name)
            if name not in present:
                raise ConfigError(f"{name}={value:g} cannot be set: {self.path.name} has no such input; export anew")
            high = len(self.speakers) - 1 if name in SPEAKER_CONTROLS and self.speakers else control.high
            if not control.low <= value <= high:
                raise ConfigError(f"{name}={value:g} is out of range; allowed: between {control.low:g} and {high:g}")

    def run(self, audio: np.ndarray, controls: ControlValues | None = None) -> np.ndarray:
        """Convert audio in one piece.

        Args:
            audio: [T] or [B, T] float32 at the graph's rate.
            controls: values of overridable inputs; what is absent keeps its default.
        Returns:
            As many samples as the graph makes, in the shape of the input.
        Raises:
            FormatError: if onnxruntime fails or what comes back is no audio.
        """
        feed = {self._input: np.atleast_2d(np.asarray(audio, dtype=np.float32))}
        feed |= self._defaults | control_arrays(controls or {})
        given = feed[self._input]
        options, seconds = self._options(given), LIMIT_SECONDS + LIMIT_PER_SECOND * given.size / self.sample_rate
        try:
            with self._limit.within(seconds, options, f"a run of {self.path.name}"):
                output: Any = self._session.run([self._output], feed, options)[0]
        except RUNTIME_ERRORS as error:
            raise FormatError(f"{self.path.name} failed: {str(error).splitlines()[0]}") from error
        is_numeric = isinstance(output, np.ndarray) and output.dtype.kind in "fiu"
        if not is_numeric or output.ndim != 2 or len(output) != len(given):
            made = list(output.shape) if is_numeric else "no numbers"
            raise FormatError(f"{self.path.name} made {made} of audio {list(given.shape)}; it must give [batch, time]")
        samples: np.ndarray = output[0] if np.ndim(audio) == 1 else output
        return samples

    def _options(self, audio: np.ndarray) -> onnxruntime.RunOptions:
        """Let the runtime give back what long audio took; for blocks keeping it is faster."""
        options = onnxruntime.RunOptions()
        if audio.shape[-1] > KEPT_SECONDS * self.sample_rate:
            options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        return options
