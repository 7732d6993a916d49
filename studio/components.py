"""What several pages are made of: fields that remember, uploads, sounds, command lines."""

import html
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from nicegui import app, events, run, ui

from studio.commands import Command, Problem
from studio.files import address
from studio.texts import Texts
from studio.uploads import AUDIO, UploadFolder
from studio.workspace import Workspace
from utils.config.names import check_folder_name
from utils.errors import ConfigError, WorkbenchError

# the framework's own header has a button without a name, its list a line for each file that was ever dropped; the field
# of the browser is kept out of sight, since one inside of a button confuses screen readers
PICK = """<div class="row no-wrap items-center q-pa-xs">
  <q-btn icon="upload_file" label="LABEL" no-caps flat class="col" @click="props.pickFiles" />
  <div style="display: none"><q-uploader-add-trigger /></div>
  <q-spinner v-if="props.isUploading" class="q-ma-sm" />
</div>"""
DROP = '<div class="text-center studio-quiet">LABEL</div>'
BROWSER_SECONDS = 60.0  # in which a person has allowed the microphone
Fields = Mapping[str, Any]  # key of a setting -> the field that it is typed into


def kept(key: str, default: Any) -> Any:
    """Return what was typed last into a field, in whatever browser.

    A field must be made with it, and bound after that: a field that the binding changes is written to again as soon as
    the page is alive, over what somebody types there in the first moment.
    """
    return app.storage.general.setdefault(key, default)


def text_field(label: str, key: str, default: str = "", **options: Any) -> Any:
    """Show a field for a text that survives a reload and is the same in every browser."""
    field = ui.input(label, value=kept(key, default), **options).props("outlined dense").classes("w-full")
    return field.bind_value(app.storage.general, key)


def name_field(label: str, key: str, default: str) -> Any:
    """Show such a field for a name that becomes a folder; what is wrong with it is told below it while it is typed."""

    def fault(value: Any) -> str | None:
        try:
            check_folder_name(str(value or "").strip(), "name")
        except ConfigError as error:
            return str(error)
        return None

    return text_field(label, key, default, validation=fault)


def number_field(label: str, key: str, default: float | None, **options: Any) -> Any:
    """Show such a field for a number."""
    field = ui.number(label, value=kept(key, default), **options).props("outlined dense").classes("w-full")
    return field.bind_value(app.storage.general, key)


def choice_field(label: str, key: str, choices: Mapping[Any, str] | list[str], default: str | None = None) -> Any:
    """Show such a field for one of several choices; what was chosen is forgotten when it is there no more."""
    first = next(iter(choices), None)
    if kept(key, default or first) not in choices:
        app.storage.general[key] = default if default in choices else first
    given = choices if isinstance(choices, list) else dict(choices)
    field = ui.select(given, label=label, value=app.storage.general[key])
    field.props(f'outlined dense aria-label="{label}"').classes("w-full")
    return field.bind_value(app.storage.general, key)


def radio_field(label: str, key: str, choices: Mapping[str, str], default: str) -> Any:
    """Show such a choice with all that can be chosen."""
    if kept(key, default) not in choices:
        app.storage.general[key] = default
    field = ui.radio(dict(choices), value=app.storage.general[key]).props(f'aria-label="{label}"')
    return field.bind_value(app.storage.general, key)


def switch_field(label: str, key: str, default: bool = False) -> Any:
    """Show such a field for yes or no."""
    return ui.checkbox(label, value=kept(key, default)).bind_value(app.storage.general, key)


def show_command(say: Texts, make: Callable[[], Command | None]) -> None:
    """Show the command line of what the page would do, to be copied; it follows the fields."""
    with ui.expansion(say("common.command"), icon="terminal").classes("w-full").props("dense"):
        line = ui.label().classes("studio-command")
        copy = ui.button(say("common.copy"), icon="content_copy", on_click=lambda: ui.clipboard.write(line.text))
        copy.props("flat dense no-caps")

    def refresh() -> None:
        command = make()
        line.set_text(command.text if command else say("common.incomplete"))
        copy.set_visibility(command is not None)

    refresh()
    ui.timer(1.0, refresh)


def start_button(
    workspace: Workspace,
    say: Texts,
    label: str,
    make: Callable[[], Command | None],
    title: Callable[[], str],
    fields: Fields,
    *,
    icon: str = "play_arrow",
) -> Any:
    """Show the button that starts a job; what is wrong with its settings is told beside the field."""
    line = ui.label().classes("studio-error").props("role=alert")
    line.set_visibility(False)

    async def start() -> None:
        command = make()
        button.disable()
        try:
            problem = Problem("", say("common.incomplete")) if command is None else await run.io_bound(command.problem)
            _tell(problem, fields, line)
            if problem is None and command is not None:
                await run.io_bound(workspace.submit, command, title())
                ui.notify(say("common.started"), type="positive")
        except WorkbenchError as error:
            _tell(Problem("", say.told(error)), fields, line)
        finally:
            button.enable()

    button = ui.button(label, icon=icon, on_click=start).props("no-caps unelevated")
    return button


def _tell(problem: Problem | None, fields: Fields, line: Any) -> None:
    for field in fields.values():
        field.error = None
    field = fields.get(problem.key) if problem else None
    if problem and field is not None:
        field.error = problem.text
    line.set_text(problem.text if problem and field is None else "")
    line.set_visibility(bool(problem and field is None))


def upload_field(
    label: str,
    say: Texts,
    folder: Callable[[], UploadFolder],
    done: Callable[[], Awaitable[None] | None],
    allowed: Iterable[str] = AUDIO,
) -> Any:
    """Show where files are dropped or chosen; each is checked and written to the folder, or its fault is said."""
    endings = tuple(allowed)
    problems = ui.label().classes("studio-error").props("role=alert").style("white-space: pre-line")

    async def take(event: events.UploadEventArguments) -> None:
        try:
            place = folder()
            partial = place.folder / f".partial-{secrets.token_hex(8)}"
            try:
                await event.file.save(partial)
                await run.io_bound(place.adopt, partial, event.file.name, endings)
            finally:
                partial.unlink(missing_ok=True)
        except WorkbenchError as error:
            problems.set_text(f"{problems.text}\n{say.told(error)}".strip())
        following = done()
        if following is not None:
            await following

    def refuse(_: Any) -> None:
        problems.set_text(f"{problems.text}\n{say('common.refused', kinds=' '.join(endings))}".strip())

    upload = ui.upload(label=label, multiple=True, auto_upload=True, on_upload=take, on_rejected=refuse)
    upload.props(f'accept="{",".join(endings)}" flat bordered aria-label="{label}"').classes("w-full")
    upload.add_slot("header", PICK.replace("LABEL", html.escape(label)))
    upload.add_slot("list", DROP.replace("LABEL", html.escape(say("common.drop"))))
    problems.move(target_index=-1)
    return upload


def player(workspace: Workspace, path: Path, label: str) -> None:
    """Show a sound that can be played, with its name."""
    play_address(address(workspace, path), label)


def play_address(place: str, label: str) -> None:
    """Show a sound at an address of the studio."""
    with ui.element("div").classes("studio-sound"):
        ui.label(label)
        ui.audio(place).props(f'preload="none" aria-label="{escaped(label)}"')


def download_link(workspace: Workspace, path: Path, label: str) -> None:
    """Show a link that saves a file."""
    link = ui.link(target=address(workspace, path, download=True)).props(f'download aria-label="{escaped(label)}"')
    with link.classes("row items-center q-gutter-xs"):
        ui.icon("download").props("aria-hidden=true")
        ui.label(label)


def go_button(label: str, target: str, chosen: Mapping[str, str] | None = None) -> None:
    """Show the way to the next page, whose fields get what is chosen, by their keys."""

    def go() -> None:
        app.storage.general.update(chosen or {})
        ui.navigate.to(target)

    ui.button(label, icon="arrow_forward", on_click=go).props("no-caps unelevated color=positive")


async def ask_browser(code: str, nothing: Any) -> Any:
    """Return what a page's JavaScript returns; `nothing` where the page was left, or nobody answered its question."""
    try:
        return await ui.run_javascript(code, timeout=BROWSER_SECONDS)
    except TimeoutError:
        return nothing


def size_text(num_bytes: int) -> str:
    """Return the size of a file in words."""
    return f"{num_bytes / 1e6:.1f} MB" if num_bytes >= 1e5 else f"{num_bytes / 1e3:.0f} kB"


def escaped(text: str) -> str:
    """Return a text as an attribute in quotes may hold it."""
    return text.replace("\\", "/").replace('"', "'")
