"""Voices, trainings, datasets and imported files on this disk: look, name, compare, delete and bring back."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import soundfile
from nicegui import app, run, ui

from studio import commands
from studio.components import choice_field, download_link, go_button, player, upload_field
from studio.deletion import Binned
from studio.library import Item, Library
from studio.manifests import Kind
from studio.shell import heading
from studio.texts import Texts
from studio.uploads import VOICES, UploadFolder
from studio.workspace import STATE, Workspace
from utils.audio import synthetic_speech
from utils.errors import WorkbenchError

KINDS: tuple[Kind, ...] = ("voice", "run", "dataset", "imported")
FILES = (".onnx", ".index", ".pth", ".md")
MOST_SHOWN = 100
PREVIEW, PREVIEW_SECONDS, RATE = "preview.wav", 4.0, 24000
WAYS = {
    "voice": ("convert.voice", "/convert"),
    "run": ("deliver.run", "/deliver"),
    "dataset": ("train.dataset", "/train"),
}


def show(workspace: Workspace, say: Texts) -> None:
    """Show the items of a kind, an import, a comparison and the bin."""
    _Shelf(workspace, say).build()


class _Shelf:
    """The items of one kind as they were read last."""

    def __init__(self, workspace: Workspace, say: Texts) -> None:
        self.workspace, self.say = workspace, say
        self.library = Library(workspace.folder)
        self.items: list[Item] = []

    @property
    def kind(self) -> Kind:
        """What is shown."""
        kind: Kind = app.storage.general.get("library.kind", "voice")
        return kind

    def build(self) -> None:
        """Lay the page out."""
        kinds = {kind: self.say(f"library.{kind}") for kind in KINDS}
        choice_field(self.say("library.kind"), "library.kind", kinds, "voice").on_value_change(self.refresh)
        self.place = ui.column().classes("w-full")
        ui.timer(0.1, self.refresh, once=True)

    async def refresh(self) -> None:
        """Read everything anew and show it."""
        self.items = await run.io_bound(self.library.items, self.kind)
        binned = await run.io_bound(self.library.bin)
        self.place.clear()
        with self.place:
            if self.kind == "imported":
                self._import()
            if not self.items:
                ui.label(self.say("library.none"))
            for item in self.items[:MOST_SHOWN]:
                self._card(item)
            self._comparison()
            self._bin(binned)

    async def change(self, work: Callable[[], Any]) -> None:
        """Do something with the library, say what is wrong, and show what came of it."""
        try:
            await run.io_bound(work)
        except WorkbenchError as error:
            ui.notify(str(error), type="negative", multi_line=True)
        await self.refresh()

    def _card(self, item: Item) -> None:
        with ui.card().classes("w-full").props(f'data-item="{item.name}"'):
            heading(item.title)
            when = time.strftime("%Y-%m-%d %H:%M", time.localtime(item.changed))
            ui.label(f"{item.folder.relative_to(self.workspace.folder)}, {when}").classes("studio-quiet")
            if item.fault:
                ui.label(item.fault).classes("studio-error")
            ui.label(", ".join(f"{key} {value}" for key, value in item.facts.items())).style("overflow-wrap: anywhere")
            for line in item.report:
                ui.label(line).classes("studio-quiet").style("overflow-wrap: anywhere")
            for preview in sorted((self.workspace.folder / "converted" / item.name).glob(PREVIEW)):
                player(self.workspace, preview, self.say("library.preview"))
            self._names(item)
            for path in sorted(item.folder.glob("*")) if item.kind in ("voice", "imported") else []:
                if path.suffix in FILES and item.kind == "voice":
                    download_link(self.workspace, path, path.name)
            self._buttons(item)

    async def preview(self, item: Item) -> None:
        """Convert the fixed sound with a voice; it can be played here as soon as the job is done."""
        voice = self.workspace.voices().get(item.name)
        if voice is None:
            ui.notify(self.say("library.no_graph"), type="negative")
            return
        source = self.workspace.folder / STATE / PREVIEW
        if not source.is_file():
            sound = synthetic_speech.voice(PREVIEW_SECONDS, RATE, f0_hz=150.0, seed=1)
            await run.io_bound(soundfile.write, source, sound, RATE)
        places = (voice.as_posix(), f"{STATE}/{PREVIEW}", f"converted/{item.name}/{PREVIEW}")
        command = commands.convert(*places, ["pitch_shift=auto"])
        await self.change(partial(self.workspace.submit, command, self.say("library.preview_job", name=item.name)))

    def _names(self, item: Item) -> None:
        with ui.row().classes("w-full items-start"):
            title = ui.input(self.say("library.title_of"), value=item.title).props("outlined dense").classes("col")
            notes = (
                ui.textarea(self.say("library.notes"), value=item.notes).props("outlined dense autogrow").classes("col")
            )

            def keep() -> None:
                self.library.rename(item.kind, item.name, title.value or "")
                self.library.note(item.kind, item.name, notes.value or "")

            ui.button(self.say("library.keep"), on_click=lambda: self.change(keep)).props("no-caps flat")

    def _buttons(self, item: Item) -> None:
        def delete() -> None:
            self.library.delete(item.kind, item.name, self.workspace.queue.jobs())

        with ui.row():
            if item.kind == "voice":
                hear = ui.button(self.say("library.hear"), icon="volume_up", on_click=partial(self.preview, item))
                hear.props("no-caps flat")
            if item.kind in WAYS:
                key, target = WAYS[item.kind]

                def use() -> None:
                    app.storage.general[key] = item.name
                    ui.navigate.to(target)

                ui.button(self.say(f"library.use_{item.kind}"), icon="arrow_forward", on_click=use).props(
                    "no-caps flat"
                )
            remove = ui.button(self.say("library.delete"), icon="delete", on_click=lambda: self.change(delete))
            remove.props(f'no-caps flat aria-label="{self.say("library.delete")} {item.name}"')

    def _comparison(self) -> None:
        names = [item.name for item in self.items]
        if len(names) < 2:
            return
        with ui.expansion(self.say("library.compare"), icon="compare").classes("w-full"):
            with ui.row().classes("w-full"):
                first = ui.select(names, value=names[0], label="A").props("outlined dense").classes("col")
                second = ui.select(names, value=names[1], label="B").props("outlined dense").classes("col")
            rows = ui.column().classes("w-full")

            async def compare() -> None:
                found = await run.io_bound(self.library.compare, self.kind, first.value, second.value)
                rows.clear()
                with rows:
                    columns = [{"name": key, "label": label, "field": key, "align": "left"}
                               for key, label in (("label", ""), ("first", "A"), ("second", "B"))]  # fmt: skip
                    plain = [{"label": row.label, "first": row.first, "second": row.second} for row in found]
                    ui.table(columns=columns, rows=plain, row_key="label").props("dense flat wrap-cells").classes(
                        "w-full"
                    )

            first.on_value_change(compare)
            second.on_value_change(compare)
            ui.button(self.say("library.compare_now"), on_click=compare).props("no-caps flat")

    def _bin(self, binned: list[Binned]) -> None:
        if not binned:
            return
        with ui.expansion(self.say("library.bin", count=len(binned)), icon="delete").classes("w-full"):
            for found in binned:
                with ui.row().classes("items-center"):
                    ui.label(f"{found.kind} {found.name}")
                    back = ui.button(
                        self.say("library.restore"),
                        on_click=partial(self.change, partial(self.library.restore, found)),
                    )
                    back.props("no-caps flat")
            ui.button(self.say("library.empty"), on_click=lambda: self.change(self.library.empty_bin)).props(
                "no-caps flat"
            )

    def _import(self) -> None:
        uploads = UploadFolder(self.workspace.uploads / "import")

        async def take() -> None:
            for path in sorted(uploads.folder.glob("*")):
                if path.suffix.lower() in VOICES:
                    await self.change(partial(self._take, path))

        ui.label(self.say("library.import_about")).classes("studio-quiet")
        upload_field(self.say("library.import"), self.say, lambda: uploads, take, VOICES)
        go_button(self.say("library.import_next"), "/deliver")

    def _take(self, path: Path) -> None:
        try:
            self.library.import_file(path)
        finally:
            path.unlink(missing_ok=True)
