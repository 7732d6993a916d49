"""Voices, trainings, datasets and imported files on this disk: look, listen, name, compare, delete and bring back."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from nicegui import app, run, ui

from studio import web_page
from studio.clips import play_state
from studio.components import choice_field, download_link, player, size_text, upload_field
from studio.deletion import Binned
from studio.imported import EXPORTED
from studio.library import Item, Library, folder_bytes
from studio.manifests import Kind
from studio.pages.deliver import browser_link
from studio.previews import ensure_sentence, preview_command, preview_of, sentence_of
from studio.shell import heading
from studio.texts import Texts
from studio.uploads import VOICES, UploadFolder
from studio.workspace import Workspace
from utils.errors import WorkbenchError
from utils.training.listening import ListeningFolder

KINDS: tuple[Kind, ...] = ("voice", "run", "dataset", "imported")
FILES = (".onnx", ".index", ".pth", ".md")
MOST_SHOWN = 100
MOST_LINES = 6  # of a report
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
        self.sizes: dict[str, int] = {}
        self.heard: dict[str, Path] = {}  # previews that are shown, by voice
        self.cards: dict[str, Callable[[], None]] = {}  # what shows the preview of a voice anew
        self.graphs: dict[str, Path] = {}
        self.is_taking = False

    @property
    def kind(self) -> Kind:
        """What is shown."""
        kind: Kind = app.storage.general.get("library.kind", "voice")
        return kind

    def build(self) -> None:
        """Lay the page out."""
        kinds = {kind: self.say(f"library.{kind}") for kind in KINDS}
        choice_field(self.say("library.kind"), "library.kind", kinds, "voice").on_value_change(self.refresh)
        with ui.column().classes("w-full") as importing:
            self._import()
        importing.bind_visibility_from(app.storage.general, "library.kind", value="imported")
        self.place = ui.column().classes("w-full")
        ui.timer(0.1, self.refresh, once=True)
        ui.timer(2.0, self.look)

    async def look(self) -> None:
        """Show the previews that were finished meanwhile; all else stays as it is, with what is typed and open."""
        heard = await run.io_bound(self._heard)
        for name, path in heard.items():
            if path != self.heard.get(name) and name in self.cards and not self.place.is_deleted:
                self.cards[name]()
        self.heard = heard

    async def refresh(self) -> None:
        """Read everything anew and show it."""
        self.items = await run.io_bound(self.library.items, self.kind)
        self.sizes = await run.io_bound(self._sizes)
        self.graphs = await run.io_bound(self.workspace.voices)
        self.heard = await run.io_bound(self._heard)
        binned = await run.io_bound(self.library.bin)
        if self.place.is_deleted:  # the page was left meanwhile
            return
        self.place.clear()
        self.cards.clear()
        with self.place:
            if not self.items:
                ui.label(self.say("library.none"))
            for item in self.items[:MOST_SHOWN]:
                self._card(item)
            _Comparison(self.workspace, self.say, self.library, self.items).build()
            self._bin(binned)

    async def change(self, work: Callable[[], Any]) -> None:
        """Do something with the library, say what is wrong, and show what came of it."""
        await self.do(work)
        await self.refresh()

    async def do(self, work: Callable[[], Any]) -> None:
        """Do something that takes time, and say what is wrong."""
        try:
            await run.io_bound(work)
        except WorkbenchError as error:
            ui.notify(self.say.told(error), type="negative", multi_line=True)

    def _sizes(self) -> dict[str, int]:
        return {item.name: folder_bytes(item.folder) for item in self.items[:MOST_SHOWN]}

    def _heard(self) -> dict[str, Path]:
        names = [item.name for item in self.items if item.kind == "voice"]
        return {name: found for name in names if (found := preview_of(self.workspace, name))}

    def _card(self, item: Item) -> None:
        with ui.card().classes("w-full").props(f'data-item="{item.name}"'):
            heading(item.title)
            when = time.strftime("%Y-%m-%d %H:%M", time.localtime(item.changed))
            place, size = item.folder.relative_to(self.workspace.folder), size_text(self.sizes.get(item.name, 0))
            ui.label(f"{place}, {when}, {size}").classes("studio-quiet")
            if item.fault:
                ui.label(self.say.told(item.fault)).classes("studio-error")
            facts = (f"{self.say.told(label)}: {self.say.told(value)}" for label, value in item.facts.items())
            ui.label(" · ".join(facts)).style("overflow-wrap: anywhere")
            self._report(item)
            with ui.column().classes("w-full gap-1") as sounds:
                play_item(self.workspace, self.say, item)
            self._names(item)
            for path in sorted(item.folder.glob("*")) if item.kind == "voice" else []:
                if path.suffix in FILES:
                    download_link(self.workspace, path, path.name)
            hear = self._buttons(item)

        def show() -> None:
            sounds.clear()
            with sounds:
                play_item(self.workspace, self.say, item)
            if hear is not None:
                hear.set_visibility(False)

        self.cards[item.name] = show

    def _report(self, item: Item) -> None:
        """Show what an import was found to be: the first lines, and all others where somebody wants them."""
        for line in item.report[:MOST_LINES]:
            ui.label(line).classes("studio-quiet").style("overflow-wrap: anywhere")
        if len(item.report) > MOST_LINES:
            with ui.expansion(self.say("library.report", count=len(item.report)), icon="notes").classes("w-full"):
                ui.label("\n".join(item.report)).classes("studio-command studio-log").props("tabindex=0 role=log")

    async def preview(self, item: Item) -> None:
        """Convert the fixed sentence with a voice; it can be played here as soon as the job is done."""
        graph = self.graphs.get(item.name)
        if graph is None:
            ui.notify(self.say("library.no_graph"), type="negative")
            return
        ui.notify(self.say("common.started"), type="positive")

        def ask() -> None:
            ensure_sentence(self.workspace)
            command = preview_command(self.workspace, item.name, graph)
            self.workspace.submit(command, self.say("library.preview_job", name=item.name))

        await self.do(ask)

    def _names(self, item: Item) -> None:
        with ui.row().classes("w-full items-start"):
            title = (
                ui.input(self.say("library.title_of"), value=item.title)
                .props("outlined dense")
                .classes("col")
                .style("min-width: 10rem")
            )
            notes = ui.textarea(self.say("library.notes"), value=item.notes).props("outlined dense autogrow")
            notes.classes("col").style("min-width: 10rem")

            def keep() -> None:
                self.library.rename(item.kind, item.name, title.value or "")
                self.library.note(item.kind, item.name, notes.value or "")

            ui.button(self.say("library.keep"), on_click=lambda: self.change(keep)).props("no-caps flat")

    def _buttons(self, item: Item) -> ui.button | None:
        """Show what can be done with an item; returns the button that asks for its preview."""

        def delete() -> None:
            self.library.delete(item.kind, item.name, self.workspace.queue.jobs())

        hear = None
        with ui.row().classes("items-center"):
            if item.kind == "voice" and item.name not in self.heard:
                hear = ui.button(self.say("library.hear"), icon="volume_up", on_click=partial(self.preview, item))
                hear.props("no-caps flat")
            self._way(item)
            remove = ui.button(self.say("library.delete"), icon="delete", on_click=lambda: self.change(delete))
            remove.props(f'no-caps flat aria-label="{self.say("library.delete")} {item.name}"')
            graph = self.graphs.get(item.name) if item.kind == "voice" else None
            if graph is not None and web_page.is_ready():
                browser_link(self.workspace, self.say, graph)
        return hear

    def _way(self, item: Item) -> None:
        """Show the button that leads to the page on which an item is used."""
        key, target = WAYS.get(item.kind, ("deliver.imported", "/deliver"))
        chosen = {key: item.name}
        if item.kind == "run":
            chosen |= {"deliver.from": "run", "deliver.name": item.name}
        if item.kind == "imported":
            files = sorted(path.name for path in item.folder.glob("*") if path.suffix.lower() in EXPORTED)
            if not files:
                return
            chosen = {key: f"{item.name}/{files[0]}", "deliver.from": "imported", "deliver.name": item.name}

        def use() -> None:
            app.storage.general.update(chosen)
            ui.navigate.to(target)

        ui.button(self.say(f"library.use_{item.kind}"), icon="arrow_forward", on_click=use).props("no-caps flat")

    def _bin(self, binned: list[Binned]) -> None:
        if not binned:
            return
        with ui.expansion(self.say("library.bin", count=len(binned)), icon="delete").classes("w-full"):
            for found in binned:
                with ui.row().classes("items-center"):
                    ui.label(f"{self.say(f'library.{found.kind}')}: {found.name}")
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
            if self.is_taking:  # what came meanwhile is seen by the loop below
                return
            self.is_taking = True
            try:
                while paths := [path for path in sorted(uploads.folder.glob("*")) if path.suffix.lower() in VOICES]:
                    said.set_text(self.say("library.looking", file=paths[0].name))
                    try:
                        await run.io_bound(self._take, paths[0])
                    except WorkbenchError as error:
                        problems.set_text(f"{problems.text}\n{self.say.told(error)}".strip())
                    await self.refresh()
            finally:
                self.is_taking = False
                said.set_text("")

        ui.label(self.say("library.import_about")).classes("studio-quiet")
        upload_field(self.say("library.import"), self.say, lambda: uploads, take, VOICES)
        said = ui.label().props("role=status")
        problems = ui.label().classes("studio-error").props("role=alert").style("white-space: pre-line")

    def _take(self, path: Path) -> None:
        try:
            self.library.import_file(path)
        finally:
            path.unlink(missing_ok=True)


class _Comparison:
    """Two items side by side: what they sound like, what they say of themselves, and the settings that differ."""

    def __init__(self, workspace: Workspace, say: Texts, library: Library, items: list[Item]) -> None:
        self.workspace, self.say, self.library = workspace, say, library
        self.items = {item.name: item for item in items}

    def build(self) -> None:
        """Lay it out; nothing where there are not two."""
        names = list(self.items)
        if len(names) < 2:
            return
        with ui.expansion(self.say("library.compare"), icon="compare").classes("w-full"):
            with ui.row().classes("w-full"):
                self.first = ui.select(names, value=names[0], label="A").props("outlined dense").classes("col")
                self.second = ui.select(names, value=names[1], label="B").props("outlined dense").classes("col")
            self.rows = ui.column().classes("w-full").props("data-comparison")
            self.first.on_value_change(self.compare)
            self.second.on_value_change(self.compare)
            ui.button(self.say("library.compare_now"), on_click=self.compare).props("no-caps flat")

    async def compare(self) -> None:
        """Show the chosen two."""
        chosen = [self.items[str(field.value)] for field in (self.first, self.second)]
        found = await run.io_bound(self.library.compare, chosen[0].kind, chosen[0].name, chosen[1].name)
        columns = [
            {"name": key, "label": label, "field": key, "align": "left"}
            for key, label in (("label", ""), ("first", f"A: {chosen[0].name}"), ("second", f"B: {chosen[1].name}"))
        ]
        plain = [{key: self.say.told(getattr(row, key)) for key in ("label", "first", "second")} for row in found]
        if self.rows.is_deleted:
            return
        self.rows.clear()
        with self.rows:
            for letter, item in zip("AB", chosen, strict=True):
                play_item(self.workspace, self.say, item, f"{letter}: ")
            ui.table(columns=columns, rows=plain, row_key="label").props("dense flat wrap-cells").classes("w-full")


def play_item(workspace: Workspace, say: Texts, item: Item, before: str = "") -> None:
    """Show what a voice makes of the fixed sentence, or the newest that a training made of its first clip.

    Args:
        workspace: has the sounds.
        say: texts.
        item: of any kind.
        before: stands in front of the name of the sound.
    """
    heard = preview_of(workspace, item.name) if item.kind == "voice" else None
    if heard is not None:
        if not before:
            player(workspace, sentence_of(workspace), say("library.sentence"))
        player(workspace, heard, before + say("library.preview"))
    if item.kind == "run":
        listening = ListeningFolder(item.folder)
        for clip in listening.clips()[:1]:
            for state in [state for state in clip.states if state.step is not None][-1:]:
                play_state(workspace, say, listening, clip, state, before)
