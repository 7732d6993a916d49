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


def limit_this_process(num_bytes: int) -> None:
    """Refuse this process more memory (addresses, not pages) than so much, and a memory image when it crashes.

    Linux alone has such limits; elsewhere nothing happens.
    """
    process = psutil.Process()
    if hasattr(process, "rlimit"):
        for kind, limit in ((psutil.RLIMIT_CORE, 0), (psutil.RLIMIT_AS, num_bytes)):
            _, highest = process.rlimit(kind)
            process.rlimit(kind, (limit if highest < 0 else min(limit, highest), highest))
