"""Addresses of the files that pages play and download: those of the workspace's folders alone."""

import tempfile
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

from studio.uploads import AUDIO, VOICES, inside
from studio.workspace import STATE, Workspace
from utils.errors import ConfigError

FOLDERS = ("recordings", "runs", "exports", "converted", f"{STATE}/uploads")
ENDINGS = {*AUDIO, *VOICES, ".html", ".md", ".json", ".png", ".txt"}


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
        fresh = {"cache-control": "no-cache"}
        return FileResponse(path, filename=path.name if download else None, headers=fresh)

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

    @app.get("/file/{name:path}")
    def shown(name: str) -> FileResponse:
        return answer(name, download=False)

    @app.get("/download/{name:path}")
    def saved(name: str) -> FileResponse:
        return answer(name, download=True)
