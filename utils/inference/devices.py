"""Where a graph runs: the execution providers of onnxruntime by the names that people know."""

from collections.abc import Sequence
from dataclasses import dataclass

import onnxruntime

from utils.inference.errors import DeviceError
from utils.voice_file.runtime import CPU_PROVIDER

# in the order in which one is chosen automatically
PROVIDERS = {
    "cuda": "CUDAExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
    "cpu": CPU_PROVIDER,
}
AUTOMATIC = "auto"
PACKAGES = {"cuda": "onnxruntime-gpu", "directml": "onnxruntime-directml", "coreml": "onnxruntime on macOS"}


@dataclass(frozen=True)
class Device:
    """Where a graph runs.

    Attributes:
        name: "cpu", "cuda", "coreml" or "directml".
        is_chosen: whether it was chosen automatically.
    """

    name: str
    is_chosen: bool = False

    @property
    def providers(self) -> list[str]:
        """The providers that onnxruntime is given; operators that a device lacks run on the processor."""
        return list(dict.fromkeys([PROVIDERS[self.name], CPU_PROVIDER]))

    @property
    def is_cpu(self) -> bool:
        """Whether it is the processor."""
        return self.name == "cpu"


def find_device(wanted: str = AUTOMATIC, available: Sequence[str] | None = None) -> Device:
    """Return the device of a name, or the first that onnxruntime has for "auto".

    Args:
        wanted: "auto", "cpu", "cuda", "coreml" or "directml".
        available: providers of onnxruntime; None asks it.
    Raises:
        DeviceError: if there is no such device here; the line says which package brings it.
    """
    present = onnxruntime.get_available_providers() if available is None else available
    here = [name for name, provider in PROVIDERS.items() if provider in present]
    if wanted == AUTOMATIC:
        return Device(here[0] if here else "cpu", is_chosen=True)
    if wanted not in PROVIDERS:
        raise DeviceError(f"device={wanted} is unknown; allowed: {', '.join([AUTOMATIC, *PROVIDERS])}")
    if wanted not in here:
        raise DeviceError(
            f"device={wanted} is not in this onnxruntime, which has {', '.join(here) or 'none'}; install "
            f"{PACKAGES.get(wanted, 'onnxruntime')}, or take another device"
        )
    return Device(wanted)
