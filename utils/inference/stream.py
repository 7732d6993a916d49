"""A streaming graph in onnxruntime: block after block, with its state kept here."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime

from utils.errors import FormatError
from utils.voice_file.contract import (
    AUDIO_INPUT,
    AUDIO_OUTPUT,
    METADATA_KEY,
    NEXT_STATE_OUTPUT,
    STATE_INPUT,
    StreamFacts,
    VoiceMetadata,
    metadata_from_json,
)
from utils.voice_file.controls import control_arrays
from utils.voice_file.runtime import open_session

FLOAT = "tensor(float)"


class StreamSession:
    """A voice that converts one block after the other. Make it with `open`.

    Args:
        session: the graph.
        metadata: what the exporter stored in it.
        source: file named in errors.
    Raises:
        FormatError: if the graph is no streaming graph or does not keep what its metadata says.
    """

    def __init__(self, session: onnxruntime.InferenceSession, metadata: VoiceMetadata, source: str) -> None:
        if "stream" not in metadata.extra:
            raise FormatError(
                f"{source} is no streaming graph; export one with export.flavours=[audio_to_audio,stream]"
            )
        self.facts = StreamFacts(**metadata.extra["stream"])
        self.sample_rate, self.metadata = metadata.sample_rate, metadata
        self._session = session
        block, size = [1, self.facts.block], [1, self.facts.state_size]
        expected = [(AUDIO_INPUT, FLOAT, block), (STATE_INPUT, FLOAT, size)]
        found = [(value.name, value.type, value.shape) for value in session.get_inputs()]
        expected_out = [(AUDIO_OUTPUT, FLOAT, block), (NEXT_STATE_OUTPUT, FLOAT, size)]
        found_out = [(value.name, value.type, value.shape) for value in session.get_outputs()]
        if found != expected or found_out != expected_out:
            raise FormatError(
                f"{source} takes {found} and gives {found_out}; its metadata says {expected}; export it again"
            )
        self.reset()

    @classmethod
    def open(cls, path: Path, num_threads: int = 1) -> "StreamSession":
        """Load a streaming graph.

        Raises:
            FormatError: if it is missing, cannot be loaded or is no streaming graph of this workbench.
        """
        return cls.of(open_session(path, num_threads), path.name)

    @classmethod
    def of(cls, session: onnxruntime.InferenceSession, source: str) -> "StreamSession":
        """Use a graph that is loaded; `source` names it in errors."""
        stored = session.get_modelmeta().custom_metadata_map
        if METADATA_KEY not in stored:
            raise FormatError(f"{source} has no metadata of this workbench; export the voice again")
        return cls(session, metadata_from_json(stored[METADATA_KEY], source), source)

    def reset(self) -> None:
        """Forget what was heard: the next block begins a new stream."""
        self.state = np.zeros((1, self.facts.state_size), np.float32)

    def process(self, block: np.ndarray, controls: Mapping[str, float] | None = None) -> np.ndarray:
        """Return the next [N] for the next [N] of `facts.block` samples, float32."""
        feed = {AUDIO_INPUT: block[None], STATE_INPUT: self.state}
        feed |= control_arrays(controls or {})
        output, self.state = self._session.run([AUDIO_OUTPUT, NEXT_STATE_OUTPUT], feed)
        samples: np.ndarray = output[0]
        return samples

    def convert(self, audio: np.ndarray, controls: Mapping[str, float] | None = None) -> np.ndarray:
        """Return [T], a new stream of [T] float32 without the delay; the end is converted with silence behind it."""
        self.reset()
        block, delay = self.facts.block, self.facts.look_ahead
        missing = -(len(audio) + delay) % block
        padded = np.pad(np.asarray(audio, np.float32), (0, delay + missing))
        made = [self.process(part, controls) for part in padded.reshape(-1, block)]
        return np.concatenate(made)[delay : delay + len(audio)] if made else np.zeros(0, np.float32)
