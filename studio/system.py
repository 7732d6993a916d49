"""The machine under the studio: what was found and what follows from it, memory and disk now, and what to beware of.

hardware = read_hardware()                       seconds, in a process of its own: call it outside of the page's thread
state = SystemState.now(Path("."), hardware)     at once
warnings = warnings_of(state) + watch.warnings(state)
"""

import json
import re
import shutil
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from studio.jobs import Job, JobQueue
from studio.progress import values_of
from studio.texts import Line
from utils.memory import available_bytes, total_bytes

ROOT = Path(__file__).resolve().parents[1]
HARDWARE_SECONDS = 180.0
FULL_BYTES = 2 * 10**9  # below it the next saved state may fail
LOW_BYTES = 10 * 10**9  # a training of RVC with its states, an export and the page fit beside each other
STATES = 4  # best, last and previous, and the one that is being written
LEAST_MEMORY_BYTES = 2 * 10**9
WATCHED_SECONDS, SHORTEST_SECONDS = 1800.0, 120.0
SOON_SECONDS = 6 * 3600.0
PROPOSED = re.compile(r"proposed \(.*\): (optim\.accumulate=\d+; .*)")


@dataclass(frozen=True)
class Hardware:
    """What PyTorch finds, as utils.training.hardware prints it.

    Attributes:
        torch: version; empty where PyTorch could not be asked, see problem.
        cpu_bf16: whether the processor computes bf16 natively.
        device: cpu, cuda or mps: what a training takes by itself.
        precision: what trainer.precision=auto is here.
        num_workers: what data.num_workers=null is here.
        gpus: of each: device, name, memory_bytes, free_bytes, bf16.
        problem: one line where something is not as it should be.
    """

    torch: str = ""
    cpu_bf16: bool = False
    device: str = "cpu"
    precision: str = ""
    num_workers: int = 0
    gpus: tuple[dict[str, Any], ...] = ()
    problem: str = ""

    @property
    def devices(self) -> tuple[str, ...]:
        """Names of devices that jobs can be given, the one to prefer first."""
        return (*(str(gpu["device"]) for gpu in self.gpus), "cpu")


@dataclass(frozen=True)
class SystemState:
    """The machine at one moment; sizes in bytes.

    Attributes:
        hardware: None where it was not looked at yet.
        disk_free: of the disk that the voices lie on.
        largest_state: the largest checkpoint there; 0 without one.
        processor_percent: of all processors together, since the last look.
    """

    hardware: Hardware | None
    memory_total: int
    memory_available: int
    disk_total: int
    disk_free: int
    largest_state: int
    processor_percent: float
    at: float

    @classmethod
    def now(cls, work: Path, hardware: Hardware | None = None) -> "SystemState":
        """Look at memory, disk and processor.

        Args:
            work: folder that datasets/, runs/ and exports/ lie in.
            hardware: what was found earlier; it does not change.
        """
        disk = shutil.disk_usage(work)
        states = (path.stat().st_size for path in work.glob("runs/*/checkpoints/last.ckpt") if path.is_file())
        return cls(
            hardware=hardware, memory_total=total_bytes(), memory_available=available_bytes(), disk_total=disk.total,
            disk_free=disk.free, largest_state=max(states, default=0), processor_percent=psutil.cpu_percent(),
            at=time.time(),
        )  # fmt: skip


@dataclass
class DiskWatch:
    """Remembers how much was free, to say when a disk will be full if it goes on so. Call `add` now and then."""

    seen: deque[tuple[float, int]] = field(default_factory=deque)

    def add(self, state: SystemState) -> None:
        """Take a look into account; looks older than half an hour are forgotten."""
        self.seen.append((state.at, state.disk_free))
        while state.at - self.seen[0][0] > WATCHED_SECONDS:
            self.seen.popleft()

    def seconds_left(self) -> float | None:
        """Return when the disk is full at the pace of what was seen; None where it does not fill, or too little was."""
        if not self.seen or self.seen[-1][0] - self.seen[0][0] < SHORTEST_SECONDS:
            return None
        (before, had), (now, has) = self.seen[0], self.seen[-1]
        return has / ((had - has) / (now - before)) if has < had else None

    def warnings(self) -> list[str]:
        """Return a line where the disk will be full within hours."""
        left = self.seconds_left()
        if left is None or left > SOON_SECONDS:
            return []
        return [Line("machine.disk_fills", minutes=f"{left / 60:.0f}", room=ROOM)]


ROOM = Line("machine.room")


def read_hardware() -> Hardware:
    """Ask PyTorch, in a process of its own; what fails is a line in `problem`."""
    command = [sys.executable, "-m", "utils.training.hardware"]
    try:
        done = subprocess.run(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=HARDWARE_SECONDS, check=False,
        )  # fmt: skip
        content = json.loads(done.stdout.splitlines()[-1])
        problem = content.pop("cuda_problem")
        gpus = tuple(content.pop("gpus"))
        return Hardware(**content, gpus=gpus, problem=Line("machine.no_gpu", reason=problem) if problem else "")
    except subprocess.TimeoutExpired:
        return Hardware(problem=Line("machine.torch_late", seconds=f"{HARDWARE_SECONDS:.0f}"))
    except (OSError, ValueError, IndexError, KeyError, TypeError):
        lines = [line for line in done.stderr.splitlines() if line.strip()] if "done" in locals() else []
        reason = lines[-1][:200] if lines else Line("machine.torch_silent")
        return Hardware(problem=Line("machine.torch_fails", reason=reason))


def consequences(hardware: Hardware) -> list[str]:
    """Return what a training does on this hardware by itself, and what is worth knowing, in lines."""
    if not hardware.torch:
        return []
    gpu = hardware.gpus[0] if hardware.gpus else None
    has_native = hardware.cpu_bf16 if hardware.device == "cpu" else bool(gpu and gpu["bf16"])
    where = str(gpu["name"]) if gpu and hardware.device != "cpu" else Line("machine.cpu")
    precision = "machine.precision_native" if has_native else "machine.precision_foreign"
    lines: list[str] = [
        Line("machine.trains", where=where),
        Line(precision, precision=hardware.precision, where=where),
        Line("machine.workers", number=hardware.num_workers),
    ]
    if len(hardware.gpus) > 1:
        lines.append(Line("machine.gpus", number=len(hardware.gpus)))
    if hardware.device == "cpu":
        lines.append(Line("machine.cpu_only"))
    return lines


def warnings_of(state: SystemState) -> list[str]:
    """Return what a person should do something about, in lines; the worst first."""
    lines: list[str] = []
    needed = max(FULL_BYTES, STATES * state.largest_state)
    free = f"{state.disk_free / 1e9:.1f}"
    if state.disk_free < needed:
        lines.append(Line("machine.disk_full", size=free, needed=f"{needed / 1e9:.1f}", room=ROOM))
    elif state.disk_free < LOW_BYTES:
        lines.append(Line("machine.disk_low", size=free, room=ROOM))
    if state.memory_available < LEAST_MEMORY_BYTES:
        memory, least = f"{state.memory_available / 1e9:.1f}", f"{LEAST_MEMORY_BYTES / 1e9:.0f}"
        lines.append(Line("machine.memory", size=memory, needed=least))
    if state.hardware is not None and state.hardware.problem:
        lines.append(state.hardware.problem)
    return lines


def probe_command(dataset: str) -> list[str]:
    """Return the command that measures which micro-batches fit the device, and proposes one: trainer.probe."""
    return ["train.py", f"dataset.name={dataset}", "trainer.probe=true"]


def proposed_batch(queue: JobQueue) -> tuple[Job, str] | None:
    """Return the latest probe of a queue and what it proposed; None where none has ended well."""
    for job in reversed(queue.jobs()):
        if job.state == "done" and values_of(job.arguments).get("trainer.probe", "").lower() == "true":
            found = PROPOSED.search(queue.log(job.id))
            if found is not None:
                return job, found[1]
    return None
