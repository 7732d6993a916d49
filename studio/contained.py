"""The studio as the main process of a container: python -m studio.contained <settings of studio.py>

A container that is stopped takes all its processes with it. So on SIGTERM the running jobs are asked to end first: a
training saves, and can be resumed when the container is back.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from studio.jobs import ROOT, JobQueue
from studio.progress import values_of

STATE = ".studio"
GRACE_SECONDS = 100.0  # below stop_grace_period of compose.yaml
POLL_SECONDS = 0.1


def main(arguments: Sequence[str], scripts: Path = ROOT) -> int:
    """Run the studio until it ends or the container is stopped; returns its exit code."""
    work = Path(values_of(["studio.py", *arguments]).get("folder", "."))
    studio = subprocess.Popen([sys.executable, str(scripts / "studio.py"), *arguments])
    stopped = []

    def stop(number: int, _: object) -> None:
        stopped.append(number)
        studio.terminate()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    code = studio.wait()
    if stopped:
        end_jobs(JobQueue(work / STATE / "jobs", work=work, starts=False), GRACE_SECONDS)
        return 0
    return code


def end_jobs(queue: JobQueue, seconds: float) -> bool:
    """Ask the running jobs to end and wait for it; what waits keeps waiting. Returns whether all have ended."""
    deadline = time.monotonic() + seconds
    running = [job.id for job in queue.jobs() if job.state in ("running", "cancelling")]
    queue.hold()
    for name in running:
        queue.cancel(name)
    while any(not queue.job(name).has_ended for name in running):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
