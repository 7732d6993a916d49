"""The studio's server: its pages, the files that they play and download, and who may come."""

import os
import secrets
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from utils.config.studio import StudioJob
from utils.console import emit
from utils.errors import ConfigError

if TYPE_CHECKING:
    from studio.workspace import Workspace

INSTALL = "pip install -r requirements-studio.lock (make studio does it)"
STATE = ".studio"


def serve(job: StudioJob) -> None:
    """Serve the pages until the process is told to end.

    Raises:
        ConfigError: if it would be open to others without a password, or NiceGUI is not installed.
    """
    from studio.safety import Access

    access = Access.checked(host=job.host, port=job.port, secret=job.password or "", names=job.names)
    _require_free(job.host, job.port)
    work = job.folder.absolute()
    state = work / STATE
    state.mkdir(parents=True, exist_ok=True)
    os.environ["NICEGUI_STORAGE_PATH"] = str(state / "pages")  # read when the framework is imported
    try:
        from nicegui import app, binding, ui
    except ImportError as error:
        raise ConfigError(f"the studio needs NiceGUI; {INSTALL}") from error
    from studio.safety import Guard
    from studio.workspace import Workspace

    binding.MAX_PROPAGATION_TIME = 1.0  # seconds from which on it warns; a training takes the processor for longer
    workspace = Workspace(work, lambda: app.storage.general.get("system.device"))
    register(workspace)
    app.add_middleware(Guard, access=access)
    app.on_startup(workspace.watch)
    emit(f"studio: http://{'127.0.0.1' if job.host in ('0.0.0.0', '::') else job.host}:{job.port}  (Ctrl-C ends it)")
    ui.run(
        host=job.host,
        port=job.port,
        title="voclo-trainer studio",
        show=job.show,
        reload=False,
        favicon="🎙",
        dark=None,
        storage_secret=_secret(state / "secret"),
        show_welcome_message=False,
        session_middleware_kwargs={"same_site": "strict"},
    )


def register(workspace: "Workspace") -> None:
    """Tell the framework every page and every address for files."""
    from nicegui import app, ui

    from studio import files, takes, web_page
    from studio.pages import PAGES
    from studio.shell import framed

    for name, show in PAGES.items():
        ui.page("/" if name == "home" else f"/{name}")(framed(workspace, name, show))
    app.add_static_files("/static", str(Path(__file__).resolve().parent / "static"))
    files.add_routes(app, workspace)
    takes.add_routes(app, workspace)
    web_page.add_routes(app)


def _require_free(host: str, port: int) -> None:
    """Check that nobody listens at the address yet.

    Raises:
        ConfigError: says which other port to type.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as error:
            words = (
                f"port={port} of host={host} cannot be opened ({error.strerror}); a studio may be open there already"
            )
            raise ConfigError(f"{words}, or type port={port + 1}") from error


def _secret(path: Path) -> str:
    """Return the key that signs the cookie which tells browsers apart; it is made once."""
    if not path.exists():
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(secrets.token_hex(32))
    return path.read_text(encoding="utf-8")
