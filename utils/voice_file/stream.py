"""A streaming graph in onnxruntime: block after block, with its state kept here."""

from collections.abc import Mapping

import numpy as np

from utils.errors import FormatError
from utils.voice_file.control_inputs import default_feed, other_inputs
from utils.voice_file.controls import control_arrays
from utils.voice_file.metadata import StreamFacts, VoiceMetadata
from utils.voice_file.runtime import GraphSession, graph_values
from utils.voice_file.signature import AUDIO_INPUT, AUDIO_OUTPUT, FLOAT, NEXT_STATE_OUTPUT, STATE_INPUT, GraphValue


class BlockStream:
    """A voice that converts one block after the other.

    Args:
        session: the graph.
        metadata: what the exporter stored in it; None for a graph of another program, which is refused.
        source: file named in errors.
    Attributes:
        facts: length of a block, look-ahead, size of the state.
        state: [1, state_size] that the next block is given.
    Raises:
        FormatError: if the graph is no streaming graph or does not keep what its metadata says.
    """

    def __init__(self, session: GraphSession, metadata: VoiceMetadata | None, source: str) -> None:
        if metadata is None:
            raise FormatError(f"{source} has no metadata of this workbench; export the voice again")
        if "stream" not in metadata.extra:
            raise FormatError(
                f"{source} is no streaming graph; export one with export.graph_kinds=[audio_to_audio,stream]"
            )
        self.facts = StreamFacts(**metadata.extra["stream"])
        self.sample_rate, self.metadata = metadata.sample_rate, metadata
        self._session, self._defaults = session, default_feed(session, metadata)
        block, size = (1, self.facts.block), (1, self.facts.state_size)
        expected = [GraphValue(AUDIO_INPUT, FLOAT, block), GraphValue(STATE_INPUT, FLOAT, size)]
        expected_out = [GraphValue(AUDIO_OUTPUT, FLOAT, block), GraphValue(NEXT_STATE_OUTPUT, FLOAT, size)]
        found, found_out = other_inputs(session, metadata), graph_values(session.get_outputs())
        if found != expected or found_out != expected_out:
            raise FormatError(
                f"{source} takes {_shown(found)} and gives {_shown(found_out)}; "
                f"its metadata says {_shown(expected)}; export it again"
            )
        self.reset()

    def reset(self) -> None:
        """Begin a new stream with the next block."""
        self.state = np.zeros((1, self.facts.state_size), np.float32)

    def process(self, block: np.ndarray, controls: Mapping[str, float] | None = None) -> np.ndarray:
        """Return the next [N] for the next [N] of `facts.block` samples, float32."""
        feed = {AUDIO_INPUT: block[None], STATE_INPUT: self.state} | self._defaults | control_arrays(controls or {})
        output, self.state = self._session.run([AUDIO_OUTPUT, NEXT_STATE_OUTPUT], feed)
        samples: np.ndarray = output[0]
        return samples

    def process_blocks(self, audio: np.ndarray, controls: Mapping[str, float] | None = None) -> np.ndarray:
        """Return the next [T] for the next [T] of whole blocks."""
        parts = audio.reshape(-1, self.facts.block)
        return np.concatenate([self.process(part, controls) for part in parts]) if len(parts) else audio


def _shown(values: list[GraphValue]) -> str:
    return ", ".join(f"{value.name} {value.type} {list(value.shape)}" for value in values)
