"""The first page: the way to a voice in four steps, and how far one is."""

from nicegui import ui

from studio.components import go_button
from studio.shell import heading
from studio.texts import Texts
from studio.workspace import Workspace

STEPS = ("data", "train", "deliver", "convert")


def show(workspace: Workspace, say: Texts) -> None:
    """Show the steps with what there is of each."""
    counts = {
        "data": len(workspace.datasets()),
        "train": len(workspace.runs()),
        "deliver": len(workspace.voices()),
        "convert": len(workspace.sounds(workspace.folder / "converted")),
    }
    with ui.grid().classes("w-full gap-4").style("grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr))"):
        for number, step in enumerate(STEPS, 1):
            with ui.card().classes("w-full"):
                heading(f"{number}. {say(f'home.{step}')}")
                ui.label(say(f"home.{step}_about"))
                ui.label(say(f"home.{step}_count", count=counts[step])).classes("studio-quiet")
                go_button(say(f"nav.{step}"), f"/{step}")
    ui.label(say("home.consent")).classes("studio-quiet")
