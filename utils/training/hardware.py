"""What PyTorch finds on this machine, and what a training makes of it: python -m utils.training.hardware

It prints one line of JSON, for programs that must not import PyTorch themselves, such as the studio.
"""

import json
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from utils.config.train import train_job
from utils.console import emit
from utils.training.devices import choose_loading, choose_precision, first_device, has_native_bf16

PCI, NVIDIA = Path("/sys/bus/pci/devices"), "0x10de"  # vendor number of the PCI register; Linux alone shows it so


@dataclass(frozen=True)
class Gpu:
    """One GPU.

    Attributes:
        device: its name in commands, such as cuda:0.
        name: what its maker calls it.
        memory_bytes: all of it; 0 where it shares that of the machine.
        free_bytes: what other programs have left.
        bf16: whether it computes bf16 natively.
    """

    device: str
    name: str
    memory_bytes: int
    free_bytes: int
    bf16: bool


@dataclass(frozen=True)
class Hardware:
    """What there is, and what trainer.accelerator=auto and trainer.precision=auto choose.

    Attributes:
        torch: version of PyTorch, with the CUDA that it was built for.
        cpu_bf16: whether the processor computes bf16 natively.
        device: where the first process computes: cpu, cuda or mps.
        precision: trainer.precision.
        num_workers: data.num_workers.
        cuda_problem: why PyTorch does not use the GPU of NVIDIA that is there; empty where it does, or there is none.
    """

    torch: str
    cpu_bf16: bool
    device: str
    precision: str
    num_workers: int
    gpus: tuple[Gpu, ...]
    cuda_problem: str = ""


def found_hardware() -> Hardware:
    """Look at the machine as a training with default settings does."""
    job = train_job(["dataset.name=x"])
    return Hardware(
        torch=torch.__version__,
        cpu_bf16=has_native_bf16(),
        device=first_device(job).type,
        precision=choose_precision(job),
        num_workers=choose_loading(job).num_workers,
        gpus=_gpus(),
        cuda_problem=_cuda_problem(),
    )


def _gpus() -> tuple[Gpu, ...]:
    if torch.cuda.is_available():
        return tuple(_gpu(index) for index in range(torch.cuda.device_count()))
    if torch.backends.mps.is_available():
        return (Gpu("mps", "Apple GPU", 0, 0, False),)
    return ()


def _gpu(index: int) -> Gpu:
    free, total = torch.cuda.mem_get_info(index)
    major, _ = torch.cuda.get_device_capability(index)
    return Gpu(f"cuda:{index}", torch.cuda.get_device_name(index), total, free, major >= 8)  # Ampere has it first


def _cuda_problem() -> str:
    if torch.cuda.is_available() or torch.version.cuda is None or not _has_nvidia_card():
        return ""
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return str(error).splitlines()[0]
    return "no device is visible"


def _has_nvidia_card() -> bool:
    """Return whether the machine has a GPU of NVIDIA, with or without a driver that works."""
    vendors = (path.read_text("ascii", errors="replace") for path in PCI.glob("*/vendor"))
    return shutil.which("nvidia-smi") is not None or any(text.strip() == NVIDIA for text in vendors)


if __name__ == "__main__":
    emit(json.dumps(asdict(found_hardware())))
    sys.exit(0)
