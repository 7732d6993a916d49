"""What a pipeline did: times of the stages of one conversion, and counts of all."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


class StageTimer:
    """Adds up the seconds of the stages of one conversion."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time inside the `with` for a stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started


@dataclass(frozen=True, kw_only=True)
class ConversionProfile:
    """Where the time of a conversion goes.

    Attributes:
        total_ms: from the call to the result.
        audio_duration_s: of the input.
        rtf: time over duration, the real-time factor.
        throughput_samples_per_sec: samples at the voice's rate that were made in a second.
        stages: milliseconds of each stage, in their order.
        device: where the graph ran.
    """

    total_ms: float
    audio_duration_s: float
    rtf: float
    throughput_samples_per_sec: float
    stages: dict[str, float]
    device: str


@dataclass(frozen=True, kw_only=True)
class PipelineStatistics:
    """What a pipeline did since it was opened.

    Attributes:
        num_conversions: that gave audio.
        num_failures: that ended with an error.
        num_cancelled: that a progress callback stopped.
        num_cpu_retries: done again on the processor because the device failed.
        audio_seconds: of what was converted.
        busy_seconds: of the conversions, of all threads together.
        stage_seconds: of them, by stage.
        rtf: busy over audio seconds; None before the first conversion.
        device: where the graph runs.
    """

    num_conversions: int = 0
    num_failures: int = 0
    num_cancelled: int = 0
    num_cpu_retries: int = 0
    audio_seconds: float = 0.0
    busy_seconds: float = 0.0
    stage_seconds: dict[str, float] = field(default_factory=dict)
    rtf: float | None = None
    device: str = "cpu"


class Counts:
    """Counts what several threads do."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = dict.fromkeys(("conversions", "failures", "cancelled", "cpu_retries"), 0)
        self._stages: dict[str, float] = {}
        self._audio_seconds = self._busy_seconds = 0.0

    def add(self, name: str) -> None:
        """Count one of "failures", "cancelled" or "cpu_retries"."""
        with self._lock:
            self._numbers[name] += 1

    def add_conversion(
        self, audio_seconds: float, busy_seconds: float, stages: dict[str, float], count: int = 1
    ) -> None:
        """Count one or more conversions that gave audio."""
        with self._lock:
            self._numbers["conversions"] += count
            self._audio_seconds += audio_seconds
            self._busy_seconds += busy_seconds
            for name, seconds in stages.items():
                self._stages[name] = self._stages.get(name, 0.0) + seconds

    def snapshot(self, device: str) -> PipelineStatistics:
        """Return what was counted so far."""
        with self._lock:
            return PipelineStatistics(
                **{f"num_{name}": count for name, count in self._numbers.items()},
                audio_seconds=self._audio_seconds,
                busy_seconds=self._busy_seconds,
                stage_seconds=dict(self._stages),
                rtf=self._busy_seconds / self._audio_seconds if self._audio_seconds else None,
                device=device,
            )
