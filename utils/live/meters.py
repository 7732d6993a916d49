"""What happened in a live conversion, in figures."""

from collections import deque
from typing import Any

import numpy as np

KEPT_BLOCKS = 10_000  # of whose times percentiles are made: the newest
FLOOR_DB = -80.0


class LiveMeters:
    """Counts blocks and keeps their times and levels.

    Args:
        block_seconds: length of a block.
        delay_seconds: from the microphone to the loudspeaker, as far as it is known: block, look-ahead, slack.
    """

    def __init__(self, block_seconds: float, delay_seconds: float) -> None:
        self.block_seconds, self.delay_seconds = block_seconds, delay_seconds
        self.device_seconds = 0.0
        self.blocks = self.late_blocks = self.lost_inputs = self.reopened = 0
        self.input_db = self.output_db = FLOOR_DB
        self._times: deque[float] = deque(maxlen=KEPT_BLOCKS)

    def count(self, seconds: float, given: np.ndarray, made: np.ndarray, *, was_late: bool, was_lost: bool) -> None:
        """Add a block: seconds of computing, sound in and out, whether the loudspeaker ran dry or input was lost."""
        self.blocks += 1
        self.late_blocks += was_late
        self.lost_inputs += was_lost
        self._times.append(seconds)
        self.input_db, self.output_db = level_db(given), level_db(made)

    def percentile_ms(self, share: float) -> float:
        """Return the time of a block that this percentage of the blocks does not exceed, in ms."""
        return 1000 * float(np.percentile(self._times, share)) if self._times else 0.0

    @property
    def line(self) -> str:
        """All in one line for the console."""
        return (
            f"in {self.input_db:4.0f} dB  out {self.output_db:4.0f} dB  block {self.percentile_ms(50):.0f} ms "
            f"(99 %: {self.percentile_ms(99):.0f}) of {1000 * self.block_seconds:.0f}  late {self.late_blocks} of "
            f"{self.blocks}"
        )

    @property
    def figures(self) -> dict[str, Any]:
        """The same for a file: seconds, blocks and shares."""
        return {
            "blocks": self.blocks,
            "block_ms": 1000 * self.block_seconds,
            "p50_ms": self.percentile_ms(50),
            "p99_ms": self.percentile_ms(99),
            "late_blocks": self.late_blocks,
            "lost_inputs": self.lost_inputs,
            "reopened": self.reopened,
            "delay_ms": 1000 * self.delay_seconds,
            "device_latency_ms": 1000 * self.device_seconds,
        }


def level_db(audio: np.ndarray) -> float:
    """Return the root mean square of [N] in dB relative to full scale, not below FLOOR_DB."""
    power = float(np.mean(np.square(audio))) if audio.size else 0.0
    return max(FLOOR_DB, 10 * float(np.log10(max(power, 1e-12))))
