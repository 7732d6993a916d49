"""Before a run: how many clips at once fit into the device, and at which number it is fastest."""

import time
from dataclasses import dataclass
from statistics import median

import torch

from models.adversarial import AdversarialTraining
from utils.audio.batch import VoiceBatch
from utils.console import emit, table
from utils.memory import peak_bytes, reset_peak, total_bytes

REPEATS = 2  # timed passes of each size, after one that warms up
MEMORY_SHARE = 0.9  # of a GPU's memory that a proposal may need
SPEED_SHARE = 0.97  # a smaller micro-batch is proposed when it is at least so fast


@dataclass(frozen=True)
class Trial:
    """What one size of micro-batches needs.

    Attributes:
        clips: clips at once.
        accumulate: micro-batches that make the update's batch.
        seconds: of forward and backward passes of an update; None when memory did not suffice.
        peak_mb: largest memory meanwhile: of the GPU, or resident of the process.
    """

    clips: int
    accumulate: int
    seconds: float | None
    peak_mb: float


def probe(module: AdversarialTraining, batch: VoiceBatch, device: torch.device) -> list[Trial]:
    """Try a device's share of an update whole, in halves, in quarters and so on; weights stay as they are."""
    module.to(device)
    batch = batch.to(device)
    # both moments of Adam, which the first update would make and all others need
    moments = [torch.zeros_like(value) for value in module.parameters() if value.requires_grad for _ in range(2)]
    trials, accumulate = [], 1
    while accumulate <= len(batch.audio):
        trials.append(_try(module, batch, accumulate, device))
        accumulate *= 2
    del moments
    return trials


def propose(trials: list[Trial], memory_mb: float) -> Trial | None:
    """Return the smallest micro-batch among the fastest that fit; None when nothing fits."""
    fitting = [trial for trial in trials if trial.seconds is not None and trial.peak_mb <= MEMORY_SHARE * memory_mb]
    if not fitting:
        return None
    fastest = min(trial.seconds for trial in fitting if trial.seconds is not None)
    return [trial for trial in fitting if trial.seconds is not None and trial.seconds * SPEED_SHARE <= fastest][-1]


def report_probe(trials: list[Trial], device: torch.device) -> None:
    """Print what was tried and what to type."""
    clips = trials[0].clips
    rows: list[list[object]] = [
        [
            trial.clips,
            trial.accumulate,
            f"{trial.peak_mb:.0f}",
            "does not fit" if trial.seconds is None else f"{trial.seconds:.3f}",
            "" if trial.seconds is None else f"{clips / trial.seconds:.1f}",
        ]
        for trial in trials
    ]
    emit(table(rows, ["clips at once", "optim.accumulate", "peak MB", "s per update", "clips/s"]))
    memory_mb = memory_of(device)
    best = propose(trials, memory_mb)
    place = f"{device.type} with {memory_mb:.0f} MB"
    if best is None:
        emit(f"not even one clip at once fits ({place}); shorten data.segment_frames or choose a smaller model")
        return
    emit(f"proposed ({place}): optim.accumulate={best.accumulate}; an update stays {clips} clips on each device")


def memory_of(device: torch.device) -> float:
    """Return the memory of a GPU or of the machine in MB."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory / 1e6
    return total_bytes() / 1e6


def _try(module: AdversarialTraining, batch: VoiceBatch, accumulate: int, device: torch.device) -> Trial:
    earlier, module.accumulate = module.accumulate, accumulate
    seconds: list[float] = []
    _reset_peak(device)
    try:
        for _ in range(1 + REPEATS):
            started = time.perf_counter()
            module.backward_all(batch, is_adversarial=module.discriminator is not None)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds.append(time.perf_counter() - started)
            module.zero_grad(set_to_none=True)
    except torch.OutOfMemoryError:
        seconds = []
    finally:
        module.accumulate = earlier
        module.zero_grad(set_to_none=True)
    clips = -(-len(batch.audio) // accumulate)
    return Trial(clips, accumulate, median(seconds[1:]) if seconds else None, _peak_mb(device))


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    else:
        reset_peak()


def _peak_mb(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    return peak_bytes() / 1e6
