"""Everything that was asked for: what waits, what runs, how far it is, and what came of it."""

from collections.abc import Callable

from nicegui import ui

from studio.jobview import job_card
from studio.texts import Texts
from studio.workspace import Seen, Workspace


def show(workspace: Workspace, say: Texts) -> None:
    """Show all jobs, the newest first."""
    place = ui.column().classes("w-full")
    shown: list[object] = [None]
    live: dict[str, Callable[[Seen], None]] = {}

    def refresh() -> None:
        key = [(seen.job.id, seen.job.state) for seen in workspace.seen]
        if key == shown[0]:
            for seen in workspace.seen:
                live[seen.job.id](seen) if seen.job.id in live else None
            return
        shown[0] = key
        place.clear()
        live.clear()
        with place:
            if not workspace.seen:
                ui.label(say("jobs.none"))
            for seen in workspace.seen[:50]:
                live[seen.job.id] = job_card(workspace, say, seen)

    refresh()
    ui.timer(0.7, refresh)
