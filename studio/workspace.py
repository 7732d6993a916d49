"""What all pages share: the folders of the voices, and the jobs as they were a moment ago."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from studio.commands import Command
from studio.jobs import Job, JobQueue, content_of
from studio.progress import Progress
from studio.system import DiskWatch, Hardware, SystemState, read_hardware, warnings_of
from studio.uploads import AUDIO, UploadFolder
from utils.config.names import check_folder_name
from utils.files import files_below

STATE = ".studio"
POLL_SECONDS, SYSTEM_SECONDS = 0.7, 3.0
MOST_SHOWN = 200  # jobs
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Seen:
    """A job as it was seen: its state, how far it is, and the last line that it wrote."""

    job: Job
    progress: Progress | None = None
    last_line: str = ""


class Workspace:
    """The folder of the voices and its queue of jobs.

    Attributes:
        folder: where recordings/, datasets/, runs/, exports/ and converted/ lie.
        queue: of the jobs.
        seen: the jobs, the newest first; read anew all the time, so that no page waits for a disk.
        device: that jobs are given; the first GPU as soon as one was found.
        system: the machine as it was seconds ago; None before the first look.
        warnings: what a person should do something about, in lines.

    Args:
        folder: absolute.
        preferred: returns the device that somebody chose for the jobs; None where nobody did.
    """

    def __init__(self, folder: Path, preferred: Callable[[], str | None] = lambda: None) -> None:
        self.folder = folder
        self.preferred = preferred
        self.queue = JobQueue(folder / STATE / "jobs", work=folder)
        self.seen: Sequence[Seen] = ()
        self.device = "cpu"
        self.system: SystemState | None = None
        self.warnings: tuple[str, ...] = ()
        self._tasks: list[asyncio.Task[None]] = []  # which the loop itself does not keep alive
        self.uploads = folder / STATE / "uploads"

    async def watch(self) -> None:
        """Keep `seen` up to date until the server ends."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._watch()), loop.create_task(self._watch_system())]

    async def _watch(self) -> None:
        while True:
            try:
                self.seen = await asyncio.to_thread(self.look)
            except Exception:
                log.exception("the jobs could not be read")
            await asyncio.sleep(POLL_SECONDS)

    async def _watch_system(self) -> None:
        """Ask for the hardware once, by another process, and look at memory and disk all the time."""
        disk, hardware = DiskWatch(), None
        await asyncio.sleep(SYSTEM_SECONDS)  # the first page comes first
        asked = asyncio.create_task(asyncio.to_thread(read_hardware))
        while True:
            if hardware is None and asked.done():
                hardware = asked.result()
                self.find_device(hardware)
            try:
                self.system = await asyncio.to_thread(SystemState.now, self.folder, hardware)
                disk.add(self.system)
                self.warnings = (*warnings_of(self.system), *disk.warnings())
            except OSError:
                log.exception("memory and disk could not be read")
            await asyncio.sleep(SYSTEM_SECONDS)

    def find_device(self, hardware: Hardware) -> None:
        """Give jobs the device that was chosen before, if it is still there, or the best."""
        wanted = self.preferred()
        self.device = wanted if wanted in hardware.devices else hardware.devices[0]

    def look(self) -> list[Seen]:
        """Read the jobs, the newest first."""
        known = {seen.job.id: seen for seen in self.seen if seen.job.has_ended}
        return [known.get(job.id) or self._see(job) for job in reversed(self.queue.jobs()[-MOST_SHOWN:])]

    def submit(self, command: Command, title: str) -> Job:
        """Ask for a command; the pages see it at once.

        Raises:
            ConfigError: if it is none that the studio runs.
            DataError: if the disk is full.
        """
        job = self.queue.submit([command.script, *command.overrides], title=title, device=self.device)
        self.seen = [Seen(job), *self.seen]
        return job

    def latest(self, matches: Callable[[Job], bool]) -> Seen | None:
        """Return the newest job of a kind; None where there was none."""
        return next((seen for seen in self.seen if matches(seen.job)), None)

    def recordings(self, name: str) -> UploadFolder:
        """Return the folder of a voice's recordings, into which the browser may write.

        Raises:
            ConfigError: if the name is none that a folder can have, or leads elsewhere.
        """
        check_folder_name(name, "name")
        return UploadFolder(self.folder / "recordings" / name)

    def sounds(self, folder: Path) -> list[Path]:
        """Return the recordings in a folder and below it, sorted."""
        if not folder.is_dir():
            return []
        return sorted(path for path in files_below(folder) if path.suffix.lower() in AUDIO)

    def datasets(self) -> list[str]:
        """Return the names of the prepared datasets, the newest first."""
        return self._with("datasets", "dataset.json")

    def runs(self) -> list[str]:
        """Return the names of the runs that can be exported, the newest first."""
        return self._with("runs", "checkpoints/best.ckpt")

    def begun_runs(self) -> list[str]:
        """Return the names of all runs, the newest first."""
        return self._with("runs", "config.yaml")

    def voices(self) -> dict[str, Path]:
        """Return the exported graphs from audio to audio by voice, the newest first; the path from the folder."""
        found = {}
        for name in self._with("exports", "card.json"):
            card = read_json(self.folder / "exports" / name / "card.json")
            graphs = [key for key, graph in card.get("graphs", {}).items() if graph.get("flavour") == "audio_to_audio"]
            if graphs:
                found[name] = Path("exports") / name / str(graphs[0])
        return found

    def _with(self, kind: str, file: str) -> list[str]:
        places = [path for path in (self.folder / kind).glob(f"*/{file}") if not path.parent.name.startswith(".")]
        places.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        return [path.relative_to(self.folder / kind).parts[0] for path in places]

    def _see(self, job: Job) -> Seen:
        seen = Seen(job)
        with suppress(OSError):
            lines = [line for line in self.queue.log(job.id, 8192).splitlines() if line.strip()]
            seen = replace(seen, last_line=lines[-1].strip() if lines else "")
            if not job.has_ended:
                seen = replace(seen, progress=self.queue.progress(job.id))
        return seen


def read_json(path: Path) -> dict[str, Any]:
    """Return what a JSON file holds; empty where it cannot be read."""
    return content_of(path) or {}
