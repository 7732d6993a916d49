"""The command of the image, outside of a container: its user, its variables, a volume of its own, a stop in a training.

Does it refuse to be open without a password, does it answer, whom does it turn away, and does stopping it let a
training save? What cannot be tried so is the building of the image. Needs the packages of the studio (make venv-studio)
and, to run as another user, root. The exit code is 1 if something is not as it should be.
"""

import argparse
import base64
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.fuzz_material import make_recordings
from benchmarks.options import BenchmarkParser, work_folder, write_figures
from scripts.pipeline import ROOT, empty_folder
from utils.command_line import run_program, whole_number
from utils.console import emit, table

USER = 10001  # of the Dockerfile
PASSWORD = "container trial"
SECONDS = 600.0
SMALL = (
    "model=toy", "discriminator=none", "data.batch_size=2", "data.segment_frames=40", "retrieval.codebook_size=0",
    "trainer.validate_every=3", "trainer.media=false", "trainer.report=false", "trainer.steps=100000",
)  # fmt: skip
ASK = "import sys, pathlib; from studio.jobs import JobQueue; q = JobQueue(pathlib.Path(sys.argv[1]))"


class Container:
    """What a container would be: commands of one user, with the image's variables, in a volume.

    Args:
        volume: its folder.
        python: interpreter with the packages.
        port: that the studio listens at.
    """

    def __init__(self, volume: Path, python: str, port: int) -> None:
        self.volume, self.python, self.port = volume, python, port
        self.environment = {
            "PATH": os.environ["PATH"], "HOME": str(volume), "LOGNAME": "voclo", "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        }  # fmt: skip
        self.user: dict[str, object] = (
            {"user": USER, "group": USER, "extra_groups": []} if hasattr(os, "getuid") and os.getuid() == 0 else {}
        )

    def start(self, *words: str, password: str = "") -> subprocess.Popen[str]:
        """Start a command of Python."""
        environment = self.environment | ({"VOCLO_PASSWORD": password} if password else {})
        return subprocess.Popen(  # type: ignore[call-overload]
            [self.python, *words], cwd=self.volume, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, **self.user,
        )  # fmt: skip

    def output(self, *words: str) -> str:
        """Return what a command prints."""
        return self.start(*words).communicate(timeout=SECONDS)[0]

    def studio(self, password: str = "") -> subprocess.Popen[str]:
        """Start the command of the image."""
        line = next(line for line in (ROOT / "Dockerfile").read_text("utf-8").splitlines() if line.startswith("CMD "))
        words = [word.replace("/data", str(self.volume)) for word in json.loads(line.removeprefix("CMD "))]
        return self.start(*words[1:], f"port={self.port}", password=password)

    def status(self, method: str = "GET", **headers: str) -> int:
        """Return the status of an answer of the studio."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, "/", headers={name.replace("_", "-"): value for name, value in headers.items()})
            return connection.getresponse().status
        finally:
            connection.close()

    def job_files(self) -> list[Path]:
        """Return the folders of the jobs, the oldest first."""
        return sorted(path.parent for path in (self.volume / ".studio" / "jobs").glob("*/job.json"))


def trial(container: Container) -> list[list[object]]:
    """Return rows of what was tried, whether it is as it should be, and what was seen."""
    rows: list[list[object]] = []

    def note(what: str, is_right: bool, seen: object) -> None:
        rows.append([what, "yes" if is_right else "NO", seen])

    closed = container.studio()
    words = closed.communicate(timeout=SECONDS)[0].strip()
    note("without a password it does not open", closed.returncode == 2, words[:60])
    began = time.monotonic()
    studio = container.studio(PASSWORD)
    wait(lambda: container.start("-m", "studio.health", str(container.port)).wait() == 0)
    note("the health check holds", studio.poll() is None, f"after {time.monotonic() - began:.1f} s")
    basic = "Basic " + base64.b64encode(f"x:{PASSWORD}".encode()).decode()
    for what, code, seen in (
        ("no password", 401, container.status()),
        ("the password", 200, container.status(Authorization=basic)),
        ("another Host", 421, container.status(Host="evil.example", Authorization=basic)),
        ("another Origin", 403, container.status("POST", Origin="http://evil.example", Authorization=basic)),
    ):
        note(f"{what}: {code}", seen == code, seen)
    train = ["train.py", "dataset.name=x", "run.name=x", *SMALL]
    queue = str(container.volume / ".studio" / "jobs")
    container.output("-c", f"{ASK}; q.submit({train!r}); q.submit(['report.py', 'dataset=datasets/x'])", queue)
    log, started = (container.job_files()[0] / name for name in ("log.txt", "started.json"))
    wait(lambda: log.exists() and "\nstep " in log.read_text("utf-8"))
    variables = Path(f"/proc/{json.loads(started.read_text('utf-8'))['pid']}/environ").read_bytes()
    note("jobs do not get the password", PASSWORD.encode() not in variables, f"{len(variables)} bytes of variables")
    began = time.monotonic()
    studio.send_signal(signal.SIGTERM)
    shown = studio.communicate(timeout=SECONDS)[0]
    seconds = time.monotonic() - began
    note("stopping it ends well", studio.returncode == 0, f"code {studio.returncode}, {seconds:.1f} s")
    last = log.read_text("utf-8").strip().splitlines()[-1]
    note("the training has saved", "saved" in last, last[:60])
    note("what waited still waits", not (container.job_files()[1] / "started.json").exists(), "queued")
    note("no log shows the password", PASSWORD not in shown, shown.strip().splitlines()[0][:60])
    return rows


def wait(is_so: Callable[[], bool]) -> None:
    """Wait until something is so.

    Raises:
        TimeoutError: if it never is.
    """
    deadline = time.monotonic() + SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {SECONDS:.0f} s")
        time.sleep(0.2)


def main() -> int:
    """Try the command of the image; returns the exit code."""
    parser = BenchmarkParser("container", __doc__)
    parser.add_argument("--python", default=sys.executable, help="interpreter with the packages of the studio")
    parser.add_argument("--port", type=whole_number, default=7986, help="that the studio listens at (default: 7986)")
    parser.add_work()
    options = parser.parse_args()
    return run_program("container", lambda: try_image(options))


def try_image(options: argparse.Namespace) -> int:
    """Make a volume with a small dataset, try everything and print it; returns the exit code."""
    folder = work_folder(options)
    empty_folder(folder)
    container = Container(folder, options.python, options.port)
    make_recordings(folder / "recordings")
    if container.user:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, USER, USER)
    emit(container.output(str(ROOT / "preprocess.py"), "dataset.source=recordings", "dataset.name=x", "content=toy"))
    rows = trial(container)
    emit(table(rows, ["what", "so", "seen"]))
    write_figures(options, "container", rows)
    return int(any(row[1] == "NO" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
