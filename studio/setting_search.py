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
    kept: dict[str, str] = app.storage.general.setdefault(key, {})
    rows: dict[str, Any] = {}
    with ui.expansion(say("settings.title"), icon="tune").classes("w-full").props("dense") as area:
        changed = ui.row().classes("w-full")
        words = ui.input(say("settings.search"), placeholder="learning rate").props(
            "outlined dense clearable debounce=200"
        )
        words.classes("w-full")
        hits = ui.column().classes("w-full")
    shown: list[object] = [None]
    composed: list[object] = [None]

    def given() -> tuple[str, ...]:
        groups = [f"{name}={value}" for name, value in kept.items() if name in known_groups(config_name)]
        return (*chosen(), *groups)

    def show_changed() -> None:
        now = dict(kept)
        if now == shown[0]:
            return
        shown[0] = now
        changed.clear()
        with changed:
            for name, value in now.items():
                chip = ui.chip(f"{name}={value}", removable=True, color="primary", text_color="white")
                chip.on("remove", lambda name=name: kept.pop(name, None))

    async def search() -> None:
        text = str(words.value or "")
        composed[0] = given()
        try:
            settings = await run.io_bound(settings_of, config_name, composed[0])
        except ConfigError as error:
            if hits.is_deleted:
                return
            rows.clear()
            hits.clear()
            with hits:
                ui.label(say.told(error)).classes("studio-error")
            return
        if hits.is_deleted:  # the page was left meanwhile
            return
        rows.clear()
        hits.clear()
        with hits:
            for item in found(settings, text)[:MOST_SHOWN] if text.strip() else []:
                rows[item.key] = _row(item, kept)
            ui.label(say("settings.count", count=len(found(settings, text)), all=len(settings))).classes("studio-quiet")

    async def follow() -> None:
        """Search again where another way to train, or another network, brings other keys."""
        if area.value and given() != composed[0]:
            await search()

    words.on_value_change(search)
    area.on_value_change(lambda event: search() if event.value else None)
    show_changed()
    ui.timer(0.5, show_changed)
    ui.timer(1.0, follow)
    return rows


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
