"""Where a training computes: precision, processes, and how they share a step."""

import ctypes
import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from pytorch_lightning.plugins.environments import SLURMEnvironment
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.utilities.rank_zero import rank_zero_only
from torch import nn

from utils.config.train import TrainJob
from utils.corpus.workers import available_workers

MOST_WORKERS = 4  # that load batches for one GPU
RENDEZVOUS_LIMIT = timedelta(minutes=30)  # preparation of the first process may take as long
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # glibc, malloc.h


class SharedStep(DDPStrategy):
    """Several processes that each do a part of every step.

    Lightning starts and joins the processes; the training step itself averages its gradients (models/updating.py), so
    no network is wrapped in DistributedDataParallel.
    """

    def configure_ddp(self) -> None:
        """Leave the networks as they are."""


def is_first_process() -> bool:
    """Return whether this process speaks and writes for all, also before the processes are connected."""
    return int(getattr(rank_zero_only, "rank", None) or 0) == 0


def num_processes(job: TrainJob) -> int:
    """Return how many processes a training asks for; one where Lightning alone could count them."""
    devices: int | str | list[int] = job.trainer.devices
    if isinstance(devices, str) and devices.isdigit():
        devices = int(devices)
    available = max(1, torch.cuda.device_count()) if first_device(job).type == "cuda" else 1
    if not isinstance(devices, int):
        devices = available if str(devices) in ("auto", "-1") else len(devices)
    elif devices < 0:
        devices = available
    return devices * job.trainer.num_nodes


def first_device(job: TrainJob) -> torch.device:
    """Return the device of the first process; Apple's GPU (mps) only where it is asked for, as it is not tested."""
    wanted = job.trainer.accelerator
    if wanted in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return torch.device("cuda", 0)
    if wanted in ("gpu", "mps") and torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def choose_accelerator(job: TrainJob) -> str:
    """Return the name by which Lightning knows the kind of device; its own choice could be another than ours."""
    return first_device(job).type if job.trainer.accelerator == "auto" else job.trainer.accelerator


def fit_to_device(module: nn.Module, device: torch.device) -> None:
    """Narrow the buffers of a module that a device cannot hold; only Apple's GPUs lack float64."""
    if device.type != "mps":
        return
    for part in module.modules():
        for name, value in part.named_buffers(recurse=False):
            if value.dtype == torch.float64:
                part.register_buffer(name, value.float(), name not in part._non_persistent_buffers_set)


@dataclass(frozen=True)
class Loading:
    """How batches get from the disk to the device.

    Attributes:
        num_workers: processes that load; 0 loads in the training process.
        pin_memory: whether batches lie in memory that a GPU reads directly.
    """

    num_workers: int
    pin_memory: bool


def choose_loading(job: TrainJob) -> Loading:
    """Decide data.num_workers and data.pin_memory where they are null; neither changes a batch.

    On a processor nothing is gained: handing a batch from process to process costs more than loading it
    (benchmarks/results/data_loading_2core-avx512_2026-11-21.md). A GPU would wait for the batches: processes
    load ahead, one for each processor that is left, and pinned memory is copied while the GPU computes.
    """
    has_gpu = first_device(job).type == "cuda"
    num_workers, pin_memory = job.data.num_workers, job.data.pin_memory
    if num_workers is None:
        own_processors = available_workers() * job.trainer.num_nodes // num_processes(job)
        num_workers = max(0, min(MOST_WORKERS, own_processors - 1)) if has_gpu and not job.data.device_cache else 0
    if pin_memory is None:
        pin_memory = has_gpu and not job.data.device_cache
    return Loading(num_workers, pin_memory)


def describe_loading(job: TrainJob) -> str:
    """Return a line that says how batches are loaded and what chose it."""
    loading, device = choose_loading(job), first_device(job).type
    values = {"data.num_workers": loading.num_workers, "data.pin_memory": str(loading.pin_memory).lower()}
    given = [key for key in values if getattr(job.data, key.removeprefix("data.")) is not None]
    chosen = f"chosen for {device} with {available_workers()} processor(s)"
    words = "as given" if len(given) == len(values) else f"{chosen}, but for {given[0]}" if given else chosen
    return f"loading batches with {', '.join(f'{key}={value}' for key, value in values.items())} ({words})"


def keep_freed_memory() -> bool:
    """Let this process keep the memory that its tensors give back, instead of asking the system for it again.

    Every update frees and allocates the same sizes. glibc returns large ones to the system each time, and pages that
    come back are zeroed and mapped one by one: a tenth of an update of RVC on a processor (docs/explanation/rvc.md).
    The largest resident memory grows by some percent. Tensors of a GPU are kept by torch itself.

    Returns:
        whether the C library took the settings; other libraries than glibc do as they like.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, -1))


def environment_plugins() -> list[SLURMEnvironment]:
    """Return SLURM's environment where there is one, without its requeueing: our exit code asks for that."""
    return [SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else []


def choose_strategy(job: TrainJob) -> Any:
    """Return Lightning's strategy: one process, or several that share each step."""
    if num_processes(job) == 1:
        return "auto"
    return SharedStep(timeout=RENDEZVOUS_LIMIT)


def choose_precision(job: TrainJob) -> str:
    """Turn trainer.precision=auto into bf16-mixed where the device computes it natively, else 16-mixed or 32 bits."""
    if job.trainer.precision != "auto":
        return job.trainer.precision
    if first_device(job).type == "mps":
        return "32-true"
    if first_device(job).type == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
    return "bf16-mixed" if has_native_bf16() else "32-true"


def has_native_bf16() -> bool:
    """Return whether the processor multiplies bf16 numbers itself; others take many times as long as for 32 bits."""
    return bool(torch.cpu._is_avx512_bf16_supported())
