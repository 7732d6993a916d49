"""Convert with a streaming graph: live, or a whole recording at once."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from utils.voice_file.runtime import open_session, stored_metadata
from utils.voice_file.stream import BlockStream


class StreamSession(BlockStream):
    """A streaming graph that is opened from a file; see BlockStream for `process` and `reset`."""

    @classmethod
    def open(cls, path: Path, num_threads: int = 1) -> "StreamSession":
        """Load a streaming graph.

        Raises:
            FormatError: if it is missing, cannot be loaded or is no streaming graph of this workbench.
        """
        session = open_session(path, num_threads)
        return cls(session, stored_metadata(session, path.name), path.name)

    def convert(self, audio: np.ndarray, controls: Mapping[str, float] | None = None) -> np.ndarray:
        """Return [T], a new stream of [T] float32 without the delay; the end is converted with silence behind it."""
        self.reset()
        block, delay = self.facts.block, self.facts.look_ahead
        missing = -(len(audio) + delay) % block
        padded = np.pad(np.asarray(audio, np.float32), (0, delay + missing))
        return self.process_blocks(padded, controls)[delay : delay + len(audio)]
