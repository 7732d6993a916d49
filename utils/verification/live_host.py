"""voclo's rules for feeding a graph and reading its answer, re-enacted.

Source: crates/ai/src/voice_converter.rs and model.rs of voclo at commit 5d9fd3b.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from utils.voice_file.runtime import RUNTIME_ERRORS, GraphSession
from utils.voice_file.signature import FLOAT, INTEGER

BLOCK_SECONDS = 0.1
BLOCK_SIZES = (4410, 4800, 19200)  # 100 ms at the device rates 44.1, 48 and 192 kHz
NAME_DEFAULTS = {"sr": 44100.0, "hop": 512.0, "nfft": 2048.0}
FAILURES: tuple[type[Exception], ...] = (*RUNTIME_ERRORS, ValueError)


@dataclass(frozen=True)
class HostBlock:
    """What the host plays.

    Attributes:
        samples: [N] float32.
        problem: why this is not what the graph should have given; None when all is well.
        is_dry: whether the unconverted voice is played.
    """

    samples: np.ndarray
    problem: str | None = None
    is_dry: bool = False


class LiveHost:
    """Converts one block after the other, each channel by a call of its own, with nothing kept between calls.

    Args:
        session: the graph, loaded from memory.
        controls: what a host that knows the graph's controls gives for them, where every run must be given them.
    """

    def __init__(self, session: GraphSession, controls: Mapping[str, np.ndarray] | None = None) -> None:
        self._session, self._controls = session, dict(controls or {})
        self._inputs = [(value.name, value.type) for value in session.get_inputs()]
        outputs = session.get_outputs()
        self._output, self._output_type = outputs[0].name, outputs[0].type

    def feed(self, block: np.ndarray) -> dict[str, np.ndarray]:
        """Return what the graph is given for [N]: audio for every float input, a number by name for every integer."""
        fed: dict[str, np.ndarray] = {}
        for name, kind in self._inputs:
            if name in self._controls:
                fed[name] = self._controls[name]
            elif kind == FLOAT:
                fed[name] = block[None].astype(np.float32)
            elif kind == INTEGER:
                value = host_integer(name, len(block))
                fed[name] = np.full((1,) if "length" in name.lower() else (1, 1), value, np.int64)
        return fed

    def process(self, block: np.ndarray) -> HostBlock:
        """Convert [N]; on any trouble the block itself is played, as the host does."""
        fed = self.feed(block)
        absent = [f"{name} {kind}" for name, kind in self._inputs if name not in fed]
        if absent:
            return HostBlock(block, f"no value for {', '.join(absent)}: the dry voice passes", is_dry=True)
        try:
            output = self._session.run([self._output], fed)[0]
        except FAILURES as error:
            return HostBlock(block, f"the run fails, the dry voice passes: {_first_line(error)}", is_dry=True)
        if self._output_type != FLOAT:
            return HostBlock(block, f"output is {self._output_type}: the dry voice passes", is_dry=True)
        if output.ndim not in (1, 2):
            return HostBlock(block, f"output of rank {output.ndim}: the dry voice passes", is_dry=True)
        made = output if output.ndim == 1 else output[0]
        samples = np.zeros(len(block), np.float32)
        count = min(len(made), len(block))
        samples[:count] = made[:count]
        wrong = None if len(made) == len(block) else f"{len(made)} samples for a block of {len(block)}"
        return HostBlock(samples, wrong)


def host_integer(name: str, num_samples: int) -> int:
    """Return what an int64 input of a name is given; the slider for pitch stands at 0."""
    lowered = name.lower()
    if any(word in lowered for word in ("pitch", "speaker", "spk")):
        return 0
    return num_samples if "length" in lowered else 0


def numbers_in_name(path: Path) -> dict[str, float]:
    """Return rate (sr), hop and window (nfft) as the host reads them from a file name; later tokens win."""
    numbers = dict(NAME_DEFAULTS)
    for token in path.stem.split("_"):
        for prefix in NAME_DEFAULTS:
            if token.startswith(prefix):
                try:
                    numbers[prefix] = float(token[len(prefix) :])
                except ValueError:
                    continue
    return numbers


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
