"""A queue of the studio with scripts that do nothing but what a test wants to see of them."""

import time
from collections.abc import Callable
from pathlib import Path

from studio.jobs import Job, JobQueue

# what a script of the workbench does with a signal: train.py saves and ends with 75
SCRIPT = """
import pathlib, signal, sys, time
values = dict(item.split("=", 1) for item in sys.argv[1:])
name = values.get("run.name", "x")

def save(number, frame):
    pathlib.Path(name + ".saved").touch()
    sys.exit(75)

signal.signal(signal.SIGTERM, save)
print(values.get("say", "hello").encode().decode("unicode_escape"), flush=True)
pathlib.Path(name + ".begun").write_text(str(time.time()))
while "until" in values and not pathlib.Path(values["until"]).exists():
    time.sleep(0.005)
pathlib.Path(name + ".done").write_text(str(time.time()))
sys.exit(int(values.get("code", 0)))
"""
LONGEST_SECONDS = 120.0  # a machine that swaps takes long to start a process


def made_queue(folder: Path) -> JobQueue:
    """Return a queue in `folder`/queue whose train.py and preprocess.py are SCRIPT, and which works in `folder`."""
    scripts = folder / "scripts"
    scripts.mkdir(exist_ok=True)
    for name in ("train.py", "preprocess.py"):
        (scripts / name).write_text(SCRIPT, "utf-8")
    return JobQueue(folder / "queue", work=folder, scripts=scripts)


def wait_for(is_so: Callable[[], object]) -> None:
    """Wait until something is so.

    Raises:
        TimeoutError: if it never is.
    """
    deadline = time.monotonic() + LONGEST_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {LONGEST_SECONDS} s")
        time.sleep(0.01)


def ended(queue: JobQueue, job: Job) -> Job:
    """Return a job after its end."""
    wait_for(lambda: queue.job(job.id).has_ended)
    return queue.job(job.id)
