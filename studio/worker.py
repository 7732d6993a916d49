"""Does the jobs of one device, one after the other: python -m studio.worker <folder of the queue> <device>

The studio starts it in a session of its own and does not wait for it. It ends when nothing is left to do, or at once
where the device has a worker.
"""

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from studio.command_lines import environment_of
from studio.jobs import ASKED, CANCEL, END, HOLD, LOG, STARTED, content_of, lock_of
from studio.processes import end_session, identity, is_alive
from utils.files import atomic_write_json
from utils.locks import try_lock

LEAST_NICE = 5  # what the page answers comes before a training, where both want the processor
POLL_SECONDS = 0.5  # between two looks at a command that another worker has started
PASSWORD = "VOCLO_PASSWORD"  # of the studio; no script has a use for it
NOT_STARTED = 127  # as shells say it


def main(arguments: list[str]) -> int:
    """Work until the queue of the device is empty; returns the exit code."""
    folder, device = Path(arguments[0]), arguments[1]
    if hasattr(os, "nice"):
        with suppress(OSError):
            os.nice(LEAST_NICE)
    # who asks for a job writes it before it starts a worker, and this one looks again after it has given the lock back:
    # so a job that comes while a worker ends is seen by one of the two
    while _next_job(folder, device) is not None:
        with lock_of(folder, device).open("a", encoding="utf-8") as stream:
            if not _lock(stream):
                return 0
            _wait_for_orphans(folder, device)
            while (place := _next_job(folder, device)) is not None:
                run_job(place)
    return 0


def run_job(place: Path) -> None:
    """Run the command of a job's folder to its end and write down how it ended."""
    asked = content_of(place / ASKED)
    if asked is None:
        return
    command = [sys.executable, str(Path(asked["scripts"]) / asked["arguments"][0]), *asked["arguments"][1:]]
    inherited = {name: value for name, value in os.environ.items() if name != PASSWORD}
    environment = {**inherited, "PYTHONUNBUFFERED": "1", **environment_of(asked["device"])}
    with (place / LOG).open("ab") as log:
        try:
            process = subprocess.Popen(
                command,
                cwd=asked["folder"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            log.write(f"error: {error.filename or command[0]}: {error.strerror}; nothing was started\n".encode())
            atomic_write_json(place / STARTED, {"pid": 0, "began": 0.0, "at": time.time()})
            atomic_write_json(place / END, {"exit_code": NOT_STARTED, "at": time.time()})
            return
        try:
            atomic_write_json(
                place / STARTED, {**identity(process.pid), "worker": identity(os.getpid()), "at": time.time()}
            )
        except OSError:  # a full disk: nobody could find it again, so it must not run
            end_session(process.pid, at_once=True)
            process.wait()
            raise
        if (place / CANCEL).exists():  # asked between our look and the start
            process.terminate()
        code = process.wait()
    end_session(process.pid)
    atomic_write_json(place / END, {"exit_code": code, "at": time.time()})


def _next_job(folder: Path, device: str) -> Path | None:
    if (folder / HOLD).exists():
        return None
    for place in sorted(path.parent for path in folder.glob(f"*/{ASKED}")):
        if any((place / name).exists() for name in (STARTED, END, CANCEL)):
            continue
        asked = content_of(place / ASKED)
        if asked is not None and asked["device"] == device:
            return place
    return None


def _wait_for_orphans(folder: Path, device: str) -> None:
    """Wait for the command of a worker that was killed: one at a time on each device."""
    for place in sorted(path.parent for path in folder.glob(f"*/{STARTED}")):
        asked, started = content_of(place / ASKED), content_of(place / STARTED)
        if asked is None or started is None or asked["device"] != device or (place / END).exists():
            continue
        while is_alive(started):
            with suppress(psutil.Error):
                psutil.Process(int(started["pid"])).wait(POLL_SECONDS)


def _lock(stream: Any) -> bool:
    try:
        return try_lock(stream)
    except OSError:  # a file system without locks: workers of one machine are then told apart by nothing
        return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
