"""Memory of this process and of the machine, on every system."""

from pathlib import Path

import psutil

PROCESS = Path("/proc/self")  # Linux alone tells the largest memory so far and lets it be reset, see proc(5)


def resident_bytes() -> int:
    """Return the resident memory of this process now."""
    return int(psutil.Process().memory_info().rss)


def available_bytes() -> int:
    """Return what new work of any process of this machine could take without swapping."""
    return int(psutil.virtual_memory().available)


def total_bytes() -> int:
    """Return the memory of the machine."""
    return int(psutil.virtual_memory().total)


def reset_peak() -> None:
    """Begin to measure peak_bytes anew, where the system can."""
    if (PROCESS / "clear_refs").exists():
        (PROCESS / "clear_refs").write_text("5", "ascii")


def peak_bytes() -> int:
    """Return the largest resident memory of this process since reset_peak.

    On Windows since the process began. On macOS, which tells neither, the memory now.
    """
    if (PROCESS / "clear_refs").exists():
        lines = (PROCESS / "status").read_text("utf-8").splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    memory = psutil.Process().memory_info()
    return int(getattr(memory, "peak_wset", memory.rss))
