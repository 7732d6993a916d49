"""What a live conversion asks of the system, so that other programs do not make its blocks late."""

import contextlib
import os
import sys

import psutil

REAL_TIME = 10  # of 1 to 99 on Linux: before every usual program; PipeWire asks for 88, PulseAudio for 5 or nothing
NICE = -10  # where real time is not allowed


def come_first() -> str | None:
    """Ask for a higher priority for this thread and those that it starts later.

    Returns:
        What the system gave, in words; None where it refuses, which is usual without a right of the user
        ("rtprio" or "nice" in limits.conf on Linux).
    """
    if sys.platform == "win32":
        with contextlib.suppress(psutil.Error, OSError):
            psutil.Process().nice(psutil.HIGH_PRIORITY_CLASS)
            return "high"
        return None
    if hasattr(os, "sched_setscheduler"):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(REAL_TIME))
            return "real time"
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
        return f"nice {NICE}"
    return None
