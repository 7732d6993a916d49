"""The frame of every page: navigation, language, colours, and what is being worked on."""

from collections.abc import Callable

from nicegui import app, ui

from studio.texts import Texts, languages
from studio.workspace import Workspace

GROUPS = {
    "make": ("home", "record", "data", "train", "listen"),
    "use": ("deliver", "convert"),
    "keep": ("library", "jobs", "system"),
}
ICONS = {
    "home": "home", "record": "mic", "data": "folder_open", "train": "model_training", "listen": "hearing",
    "deliver": "inventory_2", "convert": "graphic_eq", "library": "library_music", "jobs": "list_alt",
    "system": "memory",
}  # fmt: skip
COLOURS = {"primary": "#1f5fbf", "positive": "#1b7a3d", "negative": "#b3261e", "warning": "#8a5a00"}  # white on them
THEMES = {"auto": None, "light": False, "dark": True}
STYLE = """
h1 { font-size: 1.6rem !important; line-height: 1.3 !important; font-weight: 600; margin: 0; }
h2 { font-size: 1.15rem !important; line-height: 1.4 !important; font-weight: 600; margin: 0; }
.studio-page { max-width: 62rem; width: 100%; margin: 0 auto; padding: 1rem; gap: 1rem; overflow-wrap: break-word; }
.studio-page .nicegui-column > *, .studio-page .q-card > * { min-width: 0; max-width: 100%; }
.studio-quiet { color: #555; } body.body--dark .studio-quiet { color: #bbb; }
.studio-error { color: #b3261e; } body.body--dark .studio-error { color: #ff9d96; }
.studio-command { font-family: monospace; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem; }
.studio-log { max-height: 20rem; overflow: auto; width: 100%; }
.studio-nav a { color: inherit; text-decoration: none; display: flex; gap: .75rem; align-items: center;
  padding: .5rem .75rem; border-radius: .5rem; }
.studio-nav a:hover { background: rgba(128,128,128,.15); }
.studio-nav a[aria-current=page] { background: rgba(61,123,224,.22); font-weight: 600; }
.studio-sound { display: flex; flex-wrap: wrap; gap: .25rem .75rem; align-items: center; width: 100%; }
.studio-sound > div { flex: 0 1 9rem; overflow-wrap: anywhere; }
audio { flex: 1 1 15rem; max-width: 26rem; height: 2.4rem; } body.body--dark audio { color-scheme: dark; }
.q-card { box-shadow: none !important; border: 1px solid rgba(128,128,128,.35); }
*:focus-visible { outline: 3px solid #f2a900 !important; outline-offset: 2px; }
.studio-page a:not(.q-btn) { color: #1f5fbf; } body.body--dark .studio-page a:not(.q-btn) { color: #9cc2ff; }
body.body--dark .q-field--outlined .q-field__label, body.body--dark .q-field__bottom { color: #cfcfcf; }
.q-field__bottom, .q-field__label { color: #444; }
body.body--dark .text-primary { --q-primary: #9cc2ff; }
@media (max-width: 599px) { /* a label as long as it likes, above what is typed */
  .q-field--labeled .q-field__control { height: auto !important; }
  .q-field--labeled .q-field__control-container { flex-direction: column; padding-top: 6px !important; }
  .q-field--labeled .q-field__label { position: static; transform: none !important; max-width: 100%;
    white-space: normal; font-size: .8rem; line-height: 1.25; }
  .q-field--labeled .q-field__native { padding-top: 2px !important; min-height: 32px !important; }
  .q-field--labeled .q-field__native { padding-bottom: 6px !important; }
  .q-field__native > span { white-space: normal; overflow: visible; }
}
"""
Show = Callable[[Workspace, Texts], None]


def framed(workspace: Workspace, name: str, show: Show) -> Callable[[], None]:
    """Return the page: what `show` makes, in the frame that all pages have."""

    def page() -> None:
        user = app.storage.user
        say = Texts(user.get("language", "en"))
        ui.page_title(f"{say(f'nav.{name}')} - voclo-trainer")
        ui.add_css(STYLE)
        ui.colors(**COLOURS)
        ui.run_javascript(f"document.documentElement.lang = {say.language!r}")
        ui.dark_mode(THEMES.get(user.get("theme", "auto")))
        _header(workspace, say, _navigation(say, name))
        with ui.element("div").classes("studio-page column no-wrap"):
            heading(say(f"{name}.title"), level=1)
            _warnings(workspace, say)
            if say.has(f"{name}.about"):
                ui.label(say(f"{name}.about")).classes("studio-quiet")
            show(workspace, say)

    return page


def heading(text: str, *, level: int = 2) -> None:
    """Show a heading that screen readers find."""
    with ui.element(f"h{level}"):
        ui.label(text)


def _header(workspace: Workspace, say: Texts, drawer: ui.left_drawer) -> None:
    with ui.header().classes("items-center no-wrap q-py-xs"):
        menu = ui.button(icon="menu", on_click=drawer.toggle).props("flat round color=white")
        menu.props(f'aria-label="{say("shell.menu")}"')
        ui.label("voclo-trainer").classes("text-weight-bold gt-xs")
        ui.space()
        _running(workspace, say)
        _theme(say)
        _language(say)


def _warnings(workspace: Workspace, say: Texts) -> None:
    """Say on every page what should be done before a disk or the memory is full."""
    line = ui.label().classes("studio-error").props("role=alert").style("white-space: pre-line")

    def refresh() -> None:
        line.set_text("\n".join(say.told(line) for line in workspace.warnings))
        line.set_visibility(bool(workspace.warnings))

    refresh()
    ui.timer(5.0, refresh)


def _navigation(say: Texts, current: str) -> ui.left_drawer:
    # without a value the framework asks the browser for one, and complains where that takes a second
    drawer = ui.left_drawer(value=False, bordered=True).props("width=220 show-if-above")
    with drawer, ui.element("nav") as nav:
        nav.classes("studio-nav column").props(f'aria-label="{say("shell.pages")}"')
        for group, names in GROUPS.items():
            ui.label(say(f"shell.{group}")).classes("text-caption studio-quiet q-mt-sm q-ml-sm")
            for name in names:
                link = ui.link(target="/" if name == "home" else f"/{name}")
                link.props('aria-current="page"' if name == current else "")
                with link:
                    ui.icon(ICONS[name]).props("aria-hidden=true")
                    ui.label(say(f"nav.{name}"))
    return drawer


def _running(workspace: Workspace, say: Texts) -> None:
    """Show the job that is being worked on, on every page."""
    link = ui.link(target="/jobs").classes("text-white ellipsis").props("aria-live=polite")
    link.props(f'aria-label="{say("nav.jobs")}"')
    with link:
        label = ui.label().classes("ellipsis").style("max-width: 40vw")

    def refresh() -> None:
        seen = next((seen for seen in workspace.seen if seen.job.state in ("running", "cancelling")), None)
        waiting = sum(seen.job.state == "queued" for seen in workspace.seen)
        share = f" {seen.progress.share:.0%}" if seen and seen.progress else ""
        text = f"{seen.job.title}{share}" if seen else ""
        label.set_text(f"{text} {say('shell.waiting', count=waiting) if waiting else ''}".strip())
        link.set_visibility(bool(label.text))

    refresh()
    ui.timer(1.0, refresh)


def _theme(say: Texts) -> None:
    with ui.button(icon="contrast").props(f'flat round color=white aria-label="{say("shell.colours")}"'), ui.menu():
        for theme in THEMES:
            ui.menu_item(say(f"shell.{theme}"), on_click=lambda theme=theme: _keep("theme", theme))


def _language(say: Texts) -> None:
    with ui.button(icon="language").props(f'flat round color=white aria-label="{say("shell.language")}"'), ui.menu():
        for language, name in languages().items():
            ui.menu_item(name, on_click=lambda language=language: _keep("language", language))


def _keep(key: str, value: str) -> None:
    app.storage.user[key] = value
    ui.navigate.reload()
