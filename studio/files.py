"""Addresses of the files that pages play and download: those of the workspace's folders alone."""

import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from studio.jobs import Job
from studio.progress import values_of
from studio.uploads import AUDIO, VOICES, inside
from studio.workspace import STATE, Workspace
from utils.errors import ConfigError
from utils.reports.doctor import read_diagnosis

FOLDERS = (
    "recordings", "runs", "exports", "imported", "converted", f"{STATE}/uploads", f"{STATE}/heard", f"{STATE}/previews",
)  # fmt: skip
ENDINGS = {*AUDIO, *VOICES, ".html", ".md", ".json", ".png", ".txt"}
# the page of a run may come from a stranger: its scripts must not act in the name of the studio
SANDBOX = {"content-security-policy": "sandbox allow-scripts allow-downloads allow-popups allow-modals"}


def address(workspace: Workspace, path: Path, *, download: bool = False) -> str:
    """Return the address at which the studio gives a file of the workspace."""
    relative = path.absolute().relative_to(workspace.folder).as_posix()
    return f"/{'download' if download else 'file'}/{quote(relative)}"


def permitted(workspace: Workspace, name: str) -> Path | None:
    """Return the file of an address; None unless it lies in one of the folders that are given away."""
    for folder in FOLDERS:
        if name.startswith(f"{folder}/"):
            try:
                path = inside(workspace.folder / folder, name.removeprefix(f"{folder}/"))
            except ConfigError:
                return None
            return path if path.is_file() and path.suffix.lower() in ENDINGS else None
    return None


def outlier_address(job: Job, name: str) -> str:
    """Return the address of a recording that the doctor named in the dataset which a job made."""
    return f"/outlier/{job.id}/{quote(name)}"


def outliers(workspace: Workspace, job: Job) -> dict[str, Path]:
    """Return the recordings that the doctor named, wherever they lie, by what it calls them: below dataset.source.

    Args:
        workspace: has the dataset.
        job: made the dataset; one that made none has no recordings here.
    """
    values = values_of(job.arguments)
    if job.script != "preprocess.py" or not values.get("dataset.source"):
        return {}
    try:
        diagnosis = read_diagnosis(inside(workspace.folder / "datasets", values.get("dataset.name", "")))
        source = workspace.folder / Path(values["dataset.source"]).expanduser()
        folder = source.parent if source.is_file() else source
    except (ConfigError, OSError):
        return {}
    found = {}
    for name in {subject for finding in diagnosis.findings for subject, _ in finding.subjects} if diagnosis else ():
        with suppress(ConfigError, OSError):
            path = inside(folder, name)
            if path.is_file() and path.suffix.lower() in AUDIO:
                found[name] = path
    return found


def sounds_of(workspace: Workspace, name: str) -> list[Path]:
    """Return the sounds of a folder in converted/; none unless it lies there."""
    try:
        folder = inside(workspace.folder / "converted", name)
    except ConfigError:
        return []
    return workspace.sounds(folder)


def add_routes(app: Any, workspace: Workspace) -> None:
    """Give away files at /file/... and, to be saved, at /download/..."""
    from fastapi import HTTPException
    from fastapi.responses import FileResponse, StreamingResponse

    def answer(name: str, *, download: bool) -> FileResponse:
        path = permitted(workspace, name)
        if path is None:
            raise HTTPException(404, "there is no such file")
        headers = {"cache-control": "no-cache"} | (SANDBOX if path.suffix.lower() == ".html" else {})
        return FileResponse(path, filename=path.name if download else None, headers=headers)

    @app.get("/zip/{name:path}")
    def together(name: str) -> StreamingResponse:
        sounds = sounds_of(workspace, name)
        if not sounds:
            raise HTTPException(404, "there is no such folder")
        packed = tempfile.TemporaryFile()  # noqa: SIM115  closed when it was sent
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
            for path in sounds:
                archive.write(path, path.name)
        packed.seek(0)
        headers = {"content-disposition": 'attachment; filename="converted.zip"'}
        return StreamingResponse(packed, media_type="application/zip", headers=headers)

    @app.get("/outlier/{job}/{name:path}")
    def named(job: str, name: str) -> FileResponse:
        path = None
        with suppress(ConfigError):
            path = outliers(workspace, workspace.queue.job(job)).get(name)
        if path is None:
            raise HTTPException(404, "there is no such file")
        return FileResponse(path, headers={"cache-control": "no-cache"})

    @app.get("/file/{name:path}")
    def shown(name: str) -> FileResponse:
        return answer(name, download=False)

    @app.get("/download/{name:path}")
    def saved(name: str) -> FileResponse:
        return answer(name, download=True)
