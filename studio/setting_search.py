"""The search of all settings on a page, and those that were changed."""

from collections.abc import Callable, Iterable
from typing import Any

from nicegui import app, run, ui

from studio.settings import Setting, found, known_groups, settings_of
from studio.texts import Texts
from utils.errors import ConfigError

MOST_SHOWN = 12


def changed_settings(key: str) -> list[str]:
    """Return what was changed, as key=value."""
    return [f"{name}={value}" for name, value in app.storage.general.setdefault(key, {}).items() if value != ""]


def setting_search(
    say: Texts, key: str, config_name: str, chosen: Callable[[], Iterable[str]] = tuple
) -> dict[str, Any]:
    """Show a field to search by, what it finds, and what was changed, which can be taken back.

    Args:
        say: texts.
        key: under which what was changed is kept.
        config_name: root configuration of the script.
        chosen: returns the key=value that the page gives before what is changed here: they decide which keys there
            are, and what their defaults are.
    Returns:
        The fields that are shown, by the keys of their settings; the same object whatever is searched for.
    """
    search = _Search(say, app.storage.general.setdefault(key, {}), config_name, chosen)
    search.build()
    return search.rows


class _Search:
    """The settings as they were composed last, and the rows of those that were found.

    Args:
        say: texts.
        kept: what was changed, by key.
        config_name, chosen: as of setting_search().
    """

    def __init__(self, say: Texts, kept: dict[str, str], config_name: str, chosen: Callable[[], Iterable[str]]) -> None:
        self.say, self.kept, self.config_name, self.chosen = say, kept, config_name, chosen
        self.rows: dict[str, Any] = {}
        self.shown: object = None
        self.composed: object = None

    def build(self) -> None:
        """Lay it out."""
        say = self.say
        with ui.expansion(say("settings.title"), icon="tune").classes("w-full").props("dense") as self.area:
            self.changed = ui.row().classes("w-full")
            self.words = ui.input(say("settings.search"), placeholder="learning rate")
            self.words.props("outlined dense clearable debounce=200").classes("w-full")
            self.hits = ui.column().classes("w-full")
        self.words.on_value_change(self.search)
        self.area.on_value_change(self.follow)
        self.show_changed()
        ui.timer(0.5, self.show_changed)
        ui.timer(1.0, self.follow)

    async def given(self) -> tuple[str, ...]:
        """Return what decides which keys there are: what the page gives, and the groups that were changed here."""
        groups = await run.io_bound(known_groups, self.config_name)
        return (*self.chosen(), *[f"{name}={value}" for name, value in self.kept.items() if name in groups])

    def show_changed(self) -> None:
        """Show what was changed, if that is not shown yet."""
        if self.shown == dict(self.kept):
            return
        self.shown = dict(self.kept)
        self.changed.clear()
        with self.changed:
            for name, value in self.kept.items():
                chip = ui.chip(f"{name}={value}", removable=True, color="primary", text_color="white")
                chip.on("remove", lambda name=name: self.kept.pop(name, None))

    async def follow(self) -> None:
        """Search again where another way to train, or another network, brings other keys."""
        if self.area.value and await self.given() != self.composed:
            await self.search()

    async def search(self) -> None:
        """Show what the words find."""
        text = str(self.words.value or "")
        self.composed = given = await self.given()
        try:
            settings, problem = await run.io_bound(settings_of, self.config_name, given), ""
        except ConfigError as error:
            settings, problem = (), self.say.told(error)
        if self.hits.is_deleted:  # the page was left meanwhile
            return
        hits = found(settings, text)
        self.rows.clear()
        self.hits.clear()
        with self.hits:
            if problem:
                ui.label(problem).classes("studio-error")
            for item in hits[:MOST_SHOWN] if text.strip() else []:
                self.rows[item.key] = _row(item, self.kept)
            ui.label(self.say("settings.count", count=len(hits), all=len(settings))).classes("studio-quiet")


def _row(item: Setting, kept: dict[str, str]) -> Any:
    """Show a setting with its field, which is returned."""

    def keep(event: Any) -> None:
        value = "" if event.value is None else str(event.value).strip()
        if value in ("", item.value):
            kept.pop(item.key, None)
        else:
            kept[item.key] = value

    value = kept.get(item.key, item.value)
    with ui.row().classes("w-full items-center no-wrap"):
        with ui.column().classes("col gap-0"):
            ui.label(item.key).classes("text-weight-bold").style("overflow-wrap: anywhere")
            ui.label(item.text).classes("studio-quiet")
        if item.choices:
            options = list(dict.fromkeys([*item.choices, value]))
            field = ui.select(options, value=value, on_change=keep)
        else:
            field = ui.input(value=value, on_change=keep).props("debounce=300")
        field.props(f'outlined dense aria-label="{item.key}"').style("width: 12rem")
    return field
