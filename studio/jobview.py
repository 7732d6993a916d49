"""A job on a page: its state, how far it is, its log and command line, and what can be done with it."""

from collections.abc import Callable
from typing import Any

from nicegui import run, ui

from studio.jobs import Job
from studio.texts import Texts
from studio.workspace import Seen, Workspace
from utils.errors import WorkbenchError

COLOURS = {"done": "positive", "failed": "negative", "interrupted": "negative", "running": "primary"}
Extra = Callable[[Seen], None]


def job_panel(workspace: Workspace, say: Texts, matches: Callable[[Job], bool], done: Extra | None = None) -> None:
    """Show the newest job of a kind, whichever browser started it; below it, once it is done, what follows.

    Args:
        workspace: has the jobs.
        say: texts.
        matches: which jobs are meant.
        done: shows what follows a job that ended well.
    """
    place = ui.column().classes("w-full")
    shown: list[object] = [None]
    live: list[Callable[[Seen], None]] = []

    def refresh() -> None:
        seen = workspace.latest(matches)
        key = (seen.job.id, seen.job.state) if seen else ()
        if key != shown[0]:
            shown[0] = key
            place.clear()
            live.clear()
            if seen is not None:
                with place:
                    live.append(job_card(workspace, say, seen))
                    if done is not None and seen.job.state == "done":
                        done(seen)
        elif seen is not None and live:
            live[0](seen)

    refresh()
    ui.timer(0.5, refresh)


def job_card(workspace: Workspace, say: Texts, seen: Seen) -> Callable[[Seen], None]:
    """Show a job; returns what brings its progress up to date."""
    job = seen.job
    with ui.card().classes("w-full").props(f'data-job="{job.id}" data-state="{job.state}"'):
        with ui.row().classes("items-center w-full"):
            ui.label(job.title).classes("text-weight-bold")
            ui.badge(say(f"state.{job.state}"), color=COLOURS.get(job.state, "grey-8")).props("role=status")
            ui.space()
            _buttons(workspace, say, job)
        bar = ui.linear_progress(0, show_value=False).props(f'instant-feedback aria-label="{say("jobs.progress")}"')
        bar.set_visibility(not job.has_ended)
        words = ui.label().classes("studio-quiet")
        _last_words(say, seen)
        _details(workspace, say, job)

    def refresh(now: Seen) -> None:
        if now.progress is not None:
            bar.set_value(round(now.progress.share, 3))
            words.set_text(_progress_text(say, now))
        elif not now.job.has_ended:
            bar.props(add="indeterminate") if now.job.state == "running" else None
            words.set_text(now.last_line if now.job.state == "running" else "")
        words.set_visibility(bool(words.text))
        if now.progress is not None:
            bar.props(remove="indeterminate")

    refresh(seen)
    return refresh


def _progress_text(say: Texts, seen: Seen) -> str:
    progress = seen.progress
    if progress is None:
        return ""
    left = f", {say('jobs.left', time=progress.left)}" if progress.left else ""
    label, unit = say.word(progress.label), say.word(progress.unit)
    return f"{label} {progress.done}/{progress.total} {unit}{left}".strip()


def _last_words(say: Texts, seen: Seen) -> None:
    if seen.job.state in ("failed", "interrupted"):
        text = seen.last_line or say("jobs.no_words")
        ui.label(text).classes("studio-error").props("role=alert")
    elif seen.job.state == "stopped":
        ui.label(say("jobs.saved"))


def _buttons(workspace: Workspace, say: Texts, job: Job) -> None:
    async def act(change: Callable[[str], Any]) -> None:
        try:
            await run.io_bound(change, job.id)
        except WorkbenchError as error:
            ui.notify(say.told(error), type="negative")

    if not job.has_ended:
        cancel = ui.button(say("jobs.cancel"), icon="stop", on_click=lambda: act(workspace.queue.cancel))
        cancel.props("no-caps flat")
    if job.can_continue:
        resume = ui.button(say("jobs.resume"), icon="play_arrow", on_click=lambda: act(workspace.queue.resume))
        resume.props("no-caps flat")


def _details(workspace: Workspace, say: Texts, job: Job) -> None:
    with ui.expansion(say("jobs.log"), icon="notes").classes("w-full").props("dense") as details:
        ui.label(job.command_line).classes("studio-command")
        copy = ui.button(say("common.copy"), icon="content_copy", on_click=lambda: ui.clipboard.write(job.command_line))
        copy.props("flat dense no-caps")
        text = ui.label().classes("studio-command studio-log").props("tabindex=0 role=log")

    async def refresh() -> None:
        if details.value:
            try:
                written = await run.io_bound(workspace.queue.log, job.id)
            except WorkbenchError:
                written = ""
            if not text.is_deleted:  # the page was left meanwhile
                text.set_text(written)

    ui.timer(1.0, refresh)
