"""What the studio has asked the scripts to do: a queue on disk that outlives the browser and the studio.

    queue = JobQueue(Path(".studio/jobs"))
    job = queue.submit(["train.py", "dataset.name=alice"], title="alice", device="cuda:0")
    queue.job(job.id).state, queue.progress(job.id), queue.log(job.id)
    queue.cancel(job.id); queue.resume(job.id)

A job is a folder: `job.json` (what was asked), `started.json` and `ended.json` (written by the process that works on
the device, studio.worker), `cancel.json` (a wish) and `log.txt`. Each file has one writer and is written once, so any
number of studios and browsers read the same. Each device has one worker, a session of its own: it goes on when the
studio ends, also by SIGKILL, and takes the jobs in the order in which they came.
"""

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from studio.command_lines import check_arguments, check_device, command_line, continued
from studio.processes import is_alive, stop
from studio.progress import Progress, progress_of
from studio.secret_texts import without_secrets
from studio.texts import Line
from utils.errors import PREEMPTED_EXIT_CODE, ConfigError, one_line_for_files
from utils.files import atomic_write_json

State = Literal["queued", "running", "cancelling", "done", "failed", "stopped", "cancelled", "interrupted"]
ENDED: tuple[State, ...] = ("done", "failed", "stopped", "cancelled", "interrupted")
ROOT = Path(__file__).resolve().parents[1]
ASKED, STARTED, END, CANCEL, LOG = "job.json", "started.json", "ended.json", "cancel.json", "log.txt"
HOLD = "hold"  # a file of the queue
LOG_BYTES = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class Job:
    """One command of a script, as it is now.

    Attributes:
        id: name of its folder; sorts by the time of asking.
        arguments: the script and its arguments, such as ("train.py", "dataset.name=alice").
        title: words for people; the script's name unless given.
        device: "cpu", "mps" or "cuda:<number>"; the jobs of a device run one after the other.
        folder: working folder of the command, where datasets/, runs/ and exports/ lie.
        state: queued; running; cancelling (asked to end, not ended yet); done (code 0); failed; stopped (a signal ended
            a training, which saved: code 75); cancelled (ended on request before or without saving anything);
            interrupted (the machine or the worker ended in the middle, nobody saw how).
        submitted, started, ended: seconds since 1970; None for what has not happened.
        exit_code: of the command; negative for a signal; None before its end and where nobody saw it.
    """

    id: str
    arguments: tuple[str, ...]
    title: str
    device: str
    folder: Path
    state: State
    submitted: float
    started: float | None = None
    ended: float | None = None
    exit_code: int | None = None

    @property
    def script(self) -> str:
        """File name of the script, such as train.py."""
        return self.arguments[0]

    @property
    def command_line(self) -> str:
        """What a person can paste into a terminal in `folder` to do the same, on that device."""
        return command_line(self.arguments, self.device)

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in ENDED

    @property
    def can_continue(self) -> bool:
        """Whether resume() goes on with what a training has saved."""
        return self.has_ended and self.state != "done" and self.script == "train.py"


class JobQueue:
    """The queue of a folder. Objects of several processes on the same folder see and change the same queue.

    Args:
        folder: where the jobs are kept; made when missing.
        work: working folder of the commands; this process's unless given.
        scripts: folder of the scripts.
        starts: whether opening the queue starts the workers that are missing, so that a studio that comes back goes on
            with what was waiting.
    """

    def __init__(self, folder: Path, *, work: Path | None = None, scripts: Path = ROOT, starts: bool = True) -> None:
        self.folder = folder.absolute()
        self.work = (work or Path.cwd()).absolute()
        self.scripts = scripts.absolute()
        self._workers: list[subprocess.Popen[bytes]] = []
        with one_line_for_files():
            self.folder.mkdir(parents=True, exist_ok=True)
            if starts:
                (self.folder / HOLD).unlink(missing_ok=True)
        for device in {job.device for job in self.jobs() if starts and job.state == "queued"}:
            self._ensure_worker(device)

    def submit(self, arguments: Sequence[str], *, title: str = "", device: str = "cpu") -> Job:
        """Add a job at the end of the queue; it begins as soon as its device is free.

        Args:
            arguments: a script and its arguments, one text each, as a shell would hand them over.
            title: words for people.
            device: where it runs. A "cuda" job sees that GPU alone, a "cpu" job none.
        Raises:
            ConfigError: if the script is none of ours, or an argument would lead Hydra elsewhere.
            DataError: if it cannot be written (a full disk); then nothing of it is left.
        """
        check_arguments(arguments)
        check_device(device)
        now = time.time()
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now))
        place = self.folder / f"{stamp}-{int(now % 1 * 1e6):06d}-{secrets.token_hex(2)}"
        words = " ".join(title.split()) or arguments[0].removesuffix(".py")
        asked = {
            "arguments": list(arguments), "title": words[:200], "device": device, "folder": str(self.work),
            "scripts": str(self.scripts), "submitted": now,
        }  # fmt: skip
        try:
            with one_line_for_files():
                atomic_write_json(place / ASKED, asked)
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise
        self._ensure_worker(device)
        return self.job(place.name)

    def jobs(self) -> list[Job]:
        """Return all jobs, the oldest first."""
        names = sorted(path.parent.name for path in self.folder.glob(f"*/{ASKED}"))
        return [job for name in names if (job := self._read(name)) is not None]

    def job(self, name: str) -> Job:
        """Return a job by its id.

        Raises:
            ConfigError: if there is none.
        """
        job = self._read(name) if _is_id(name) else None
        if job is None:
            raise ConfigError(Line("error.job_unknown", job=name))
        return job

    def log(self, name: str, num_bytes: int = LOG_BYTES) -> str:
        """Return the end of what the command has written, line by line, secrets replaced by stars."""
        place = self.folder / self.job(name).id / LOG
        try:
            with place.open("rb") as stream:
                stream.seek(max(0, place.stat().st_size - num_bytes))
                text = stream.read(num_bytes).decode("utf-8", "replace")
        except FileNotFoundError:
            return ""
        # a bar that is redrawn writes over its line: of each line the last state counts
        lines = [line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")]
        return without_secrets("\n".join(lines))

    def progress(self, name: str) -> Progress | None:
        """Return how far a running job is, from its log and the files that its script writes; None where none says."""
        job = self.job(name)
        return None if job.started is None else progress_of(job.arguments, self.log(name), job.folder, job.started)

    def cancel(self, name: str, *, now: bool = False) -> Job:
        """Take a job from the queue, or ask its command to end: SIGTERM, upon which a training saves and ends.

        Args:
            name: its id.
            now: end it at once (SIGKILL), with all its processes; what was saved before is kept.
        """
        job = self.job(name)
        if job.has_ended:
            return job
        with one_line_for_files():
            atomic_write_json(self.folder / name / CANCEL, {"now": now, "at": time.time()})
        started = content_of(self.folder / name / STARTED)
        if started is not None:
            stop(started, at_once=now)
        return self.job(name)

    def resume(self, name: str) -> Job:
        """Ask for a training that has ended early again: the same command with resume=auto, as a new job.

        Raises:
            ConfigError: if it still runs, has ended well or is no training.
        """
        job = self.job(name)
        if not job.can_continue:
            words = {"job": job.title, "state": Line(f"state.{job.state}")}
            raise ConfigError(Line("error.job_no_training", **words))
        return self.submit(continued(job.arguments), title=job.title, device=job.device)

    def hold(self) -> None:
        """Let no further job begin until a queue is opened here again, which starts what waits."""
        with one_line_for_files():
            (self.folder / HOLD).touch()

    def remove(self, name: str) -> None:
        """Remove an ended job from the list, its log too; what it made stays.

        Raises:
            ConfigError: if it has not ended.
        """
        job = self.job(name)
        if not job.has_ended:
            raise ConfigError(Line("error.job_not_ended", job=job.title, state=Line(f"state.{job.state}")))
        shutil.rmtree(self.folder / job.id, ignore_errors=True)

    def _read(self, name: str) -> Job | None:
        place = self.folder / name
        asked = content_of(place / ASKED)
        if asked is None:
            return None
        ended, started = content_of(place / END), content_of(place / STARTED)
        cancelled = (place / CANCEL).exists()
        code = None if ended is None else int(ended["exit_code"])
        return Job(
            id=name,
            arguments=tuple(map(str, asked["arguments"])),
            title=str(asked["title"]),
            device=str(asked["device"]),
            folder=Path(asked["folder"]),
            state=_state(started, ended, is_cancelled=cancelled),
            submitted=float(asked["submitted"]),
            started=None if started is None else float(started["at"]),
            ended=None if ended is None else float(ended["at"]),
            exit_code=code,
        )

    def _ensure_worker(self, device: str) -> None:
        """Start a worker; it ends at once where the device has one, which will look at the queue once more."""
        self._workers = [process for process in self._workers if process.poll() is None]  # takes what has ended away
        detached: dict[str, Any] = {"start_new_session": True}
        if os.name == "nt":
            detached = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.DETACHED_PROCESS}  # type: ignore[attr-defined]
        command = [sys.executable, "-m", "studio.worker", str(self.folder), device]
        nothing = subprocess.DEVNULL
        with one_line_for_files():
            self._workers.append(
                subprocess.Popen(command, cwd=ROOT, stdin=nothing, stdout=nothing, stderr=nothing, **detached)
            )


def lock_of(folder: Path, device: str) -> Path:
    """Return the file that the worker of a device keeps locked."""
    return folder / f"{device.replace(':', '-')}.lock"


def _state(started: dict[str, Any] | None, ended: dict[str, Any] | None, *, is_cancelled: bool) -> State:
    if ended is not None:
        code = int(ended["exit_code"])
        if code == PREEMPTED_EXIT_CODE:
            return "stopped"
        return "done" if code == 0 else "cancelled" if is_cancelled else "failed"
    if started is None:
        return "cancelled" if is_cancelled else "queued"
    if is_alive(started) or is_alive(started.get("worker", {})):  # which is about to write how it ended
        return "cancelling" if is_cancelled else "running"
    return "interrupted"


def _is_id(name: str) -> bool:
    return bool(name) and all(letter.isascii() and (letter.isalnum() or letter == "-") for letter in name)


def content_of(path: Path) -> dict[str, Any] | None:
    """Return what a file of a job says; None where there is none or it is being removed."""
    with suppress(OSError, ValueError, RecursionError):
        found = json.loads(path.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else None
    return None
