"""Processes that this one may not have started: are they alive, and how to end them."""

import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import psutil

SAME_SECONDS = 1.0  # within which two readings of the moment at which a process began agree


def identity(pid: int) -> dict[str, Any]:
    """Return what tells a process from a later one with the same number."""
    return {"pid": pid, "began": psutil.Process(pid).create_time()}


def is_alive(found: Mapping[str, Any]) -> bool:
    """Return whether the process of an identity still works; one that has ended and is not collected does not."""
    process = _process(found)
    if process is None:
        return False
    with suppress(psutil.Error):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


def stop(found: Mapping[str, Any], *, at_once: bool = False) -> None:
    """Ask a process to end with SIGTERM; at once: kill it and its session.

    Only the process itself is asked: it tells those that load its data. Windows knows no SIGTERM that could be heard,
    so the process ends without saving there.
    """
    process = _process(found)
    if process is None:
        return
    with suppress(psutil.Error):
        if at_once:
            end_session(process.pid, at_once=True)
            process.kill()
        else:
            process.terminate()


def end_session(pid: int, *, at_once: bool = False) -> None:
    """End what a process that led its own session has left behind, where the system has sessions."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL if at_once else signal.SIGTERM)


def _process(found: Mapping[str, Any]) -> psutil.Process | None:
    with suppress(psutil.Error, KeyError, TypeError, ValueError):
        process = psutil.Process(int(found["pid"]))
        if abs(process.create_time() - float(found["began"])) < SAME_SECONDS:
            return process
    return None
