"""The machine and the versions that a page was made with."""

import importlib.metadata
import os
import platform
import time
from collections.abc import Sequence

from utils.reports.sections import Fact
from utils.version import VERSION

PACKAGES = ("torch", "pytorch-lightning", "onnx", "onnxruntime", "numpy", "av", "soundfile", "faiss-cpu")


def machine_facts(packages: Sequence[str] = PACKAGES) -> list[Fact]:
    """Return program, machine and packages as facts; nothing is imported for it."""
    versions = [f"{name} {version}" for name in packages if (version := _version(name))]
    return [
        Fact("voclo-trainer", VERSION),
        Fact("page made", time.strftime("%Y-%m-%d %H:%M:%S %Z")),
        Fact("system", f"{platform.system()} {platform.release()}, {platform.machine()}"),
        Fact("processor", f"{_processor()}, {os.cpu_count() or 1} threads"),
        Fact("Python", platform.python_version()),
        Fact("packages", ", ".join(versions)),
    ]


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as stream:  # noqa: PTH123
            names = [line.partition(":")[2].strip() for line in stream if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
