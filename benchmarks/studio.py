"""How soon the studio's first page is there, whether PyTorch is in its process, and how fast it reacts under load.

    python -m benchmarks.studio [--starts 3] [--busy 2] [--browser <a Python with playwright>]
    python -m benchmarks.studio --browser <a Python with playwright> --training datasets/demo

The load is one process a core that counts at the priority of a job of the studio; with --training also a training that
is started by a click in the studio itself, with a thread for each core. How fast a page reacts is measured in
Debian's Chromium, from a key that is pressed to the server's answer on the page.
"""

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.options import BenchmarkParser
from scripts.pipeline import ROOT
from utils.command_line import run_program, whole_number
from utils.console import emit, table
from utils.errors import DataError
from utils.files import atomic_write_json

DRIVER = ROOT / "tests" / "tools" / "studio_driver.py"
LONGEST_SECONDS = 120.0
NICE = 5  # studio.worker
BUSY = f"import os; os.nice({NICE})\nwhile True: sum(range(10000))"


def main(arguments: list[str] | None = None) -> int:
    """Measure and print the table; returns the exit code."""
    parser = BenchmarkParser("studio", __doc__)
    parser.add_argument("--starts", type=whole_number, default=3, help="how often it is started")
    parser.add_argument("--busy", type=whole_number, default=os.cpu_count() or 1, help="processes of the load")
    parser.add_argument("--browser", default=sys.executable, help="a Python that has playwright")
    parser.add_argument("--training", type=Path, help="a prepared dataset: measure also while a training with it runs")
    options = parser.parse_args(arguments)
    return run_program("studio", lambda: _measure(options.starts, options.busy, options.browser, options.training))


def _measure(starts: int, busy: int, browser: str, dataset: Path | None) -> None:
    before = psutil.getloadavg()[0]
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory() as folder:
        for load in (0, busy):
            with _load(load):
                begun = [_start(Path(folder), None) for _ in range(starts)]
                milliseconds = _start(Path(folder), browser).milliseconds
            first, work = [item.seconds for item in begun], [item.processor_seconds for item in begun]
            rows.append([
                f"{load} busy processes", f"{statistics.median(first):.2f}", f"{max(first):.2f}",
                f"{statistics.median(work):.2f}",
                "yes" if any(item.has_torch for item in begun) else "no",
                f"{statistics.median(milliseconds):.0f}", f"{max(milliseconds):.0f}",
            ])  # fmt: skip
    head = [
        "load",
        "first page s (median)",
        "(most)",
        "its processor s",
        "PyTorch in it",
        "reaction ms (median)",
        "(most)",
    ]
    if dataset is not None:
        found = _while_training(dataset, browser)
        times = [f"{statistics.median(found.milliseconds):.0f}", f"{max(found.milliseconds):.0f}"]
        rows.append([f"a training ({found.processor_percent:.0f} % of the processors)", "", "", "", "", *times])
    emit(table(rows, head))
    emit(f"load of the machine before: {before:.1f}")


def _while_training(dataset: Path, browser: str) -> "Start":
    """Use a studio while a training runs that was started by a click in it."""
    if not (dataset / "dataset.json").is_file():
        raise DataError(f"--training={dataset} is no prepared dataset; give datasets/<name>")
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        (folder / "datasets").mkdir()
        (folder / "datasets" / dataset.name).symlink_to(dataset.resolve(), target_is_directory=True)
        typed = {"train.dataset": dataset.name, "train.run": "reaction", "train.minutes": 30}
        atomic_write_json(folder / ".studio" / "pages" / "storage-general.json", typed)
        return _start(folder, browser, "reaction_training", threads=os.cpu_count())


class Start(NamedTuple):
    """A start of the studio: seconds and processor seconds to the first page, PyTorch in it, reactions in ms.

    processor_percent is of all processors together, from the start to the end.
    """

    seconds: float
    processor_seconds: float
    has_torch: bool
    milliseconds: list[float]
    processor_percent: float


def _start(folder: Path, browser: str | None, scenario: str = "reaction", *, threads: int | None = None) -> Start:
    """Start the studio once, and use it where there is a browser; its jobs get so many threads, None: as they like."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port = trial.getsockname()[1]
    began = time.monotonic()
    command = [sys.executable, "studio.py", f"folder={folder}", "show=false", f"port={port}"]
    variables = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, env={**os.environ, **variables})
    psutil.cpu_percent()
    try:
        address = f"http://127.0.0.1:{port}"
        while not _answers(address):
            if process.poll() is not None or time.monotonic() - began > LONGEST_SECONDS:
                raise DataError("the studio does not start; run python studio.py to see why")
            time.sleep(0.02)
        seconds = time.monotonic() - began
        used = psutil.Process(process.pid).cpu_times()
        has_torch = any("libtorch" in item.path for item in psutil.Process(process.pid).memory_maps())
        found: list[float] = []
        if browser is not None:
            words = [browser, str(DRIVER), address, scenario, str(folder), str(folder)]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            if done.returncode:
                raise DataError(f"the browser ended with: {(done.stderr.splitlines() or ['nothing'])[-1]}")
            found = json.loads(done.stdout)["milliseconds"]
        return Start(seconds, used.user + used.system, has_torch, found, psutil.cpu_percent())
    finally:
        process.terminate()
        process.wait()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/", timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextmanager
def _load(count: int) -> Iterator[None]:
    running = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
