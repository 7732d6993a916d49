"""The page of web/, which converts in the browser itself, given to the browsers that use the studio."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

from studio.files import address
from studio.uploads import inside
from studio.workspace import Workspace
from utils.errors import ConfigError

ROOT = Path(__file__).resolve().parents[1] / "web"
NEEDED = "vendor/ort.wasm.min.mjs"
KINDS = {
    ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css",
    ".wasm": "application/wasm",
}  # fmt: skip
PRIVATE = "node_modules"
# what lets the page compute with several threads
ISOLATED = {"cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp"}


def is_ready(root: Path = ROOT) -> bool:
    """Whether the runtime of the page was fetched: make web."""
    return (root / NEEDED).is_file()


def page_address(workspace: Workspace, voice: Path) -> str:
    """Return the address of the page with an exported voice opened.

    Args:
        workspace: has the voice.
        voice: its graph.
    """
    return f"/web/index.html?voice={quote(address(workspace, voice))}"


def page_file(name: str, root: Path = ROOT) -> Path | None:
    """Return a file of the page; None where it has none of that name."""
    try:
        path = inside(root, name)
    except ConfigError:
        return None
    return path if path.is_file() and path.suffix in KINDS and PRIVATE not in name.split("/") else None


def add_routes(app: Any) -> None:
    """Give the page away at /web/..."""
    from fastapi import HTTPException
    from fastapi.responses import FileResponse

    @app.get("/web/{name:path}")
    def page(name: str) -> FileResponse:
        path = page_file(name)
        if path is None:
            raise HTTPException(404, "there is no such file")
        return FileResponse(path, media_type=KINDS[path.suffix], headers=ISOLATED | {"cache-control": "no-cache"})
