"""The machine: what was found, what follows from it, what is free, and the report to paste."""

from nicegui import app, run, ui

from studio.commands import Command
from studio.components import choice_field
from studio.doctor import doctor_text
from studio.shell import heading
from studio.system import SystemState, consequences, probe_command, proposed_batch
from studio.texts import Texts
from studio.workspace import Workspace
from utils.errors import WorkbenchError

GIGABYTE = 1e9


def show(workspace: Workspace, say: Texts) -> None:
    """Show the hardware, memory and disk as they are now, the batch that was measured, and the report."""
    heading(say("system.found"))
    found = ui.column().classes("w-full gap-1")
    heading(say("system.now"))
    bars = {name: _bar(say(f"system.{name}")) for name in ("memory", "disk", "processor")}
    _probe(workspace, say)
    heading(say("system.report"))
    report = ui.label().classes("studio-command").props("tabindex=0")
    ui.button(say("common.copy"), icon="content_copy", on_click=lambda: ui.clipboard.write(report.text)).props(
        "flat dense no-caps"
    )
    shown: list[object] = [None]

    async def refresh() -> None:
        state = workspace.system or await run.io_bound(SystemState.now, workspace.folder)
        if report.is_deleted:  # the page was left meanwhile
            return
        memory = 1 - state.memory_available / max(1, state.memory_total)
        disk = 1 - state.disk_free / max(1, state.disk_total)
        free = {"memory": (state.memory_available, memory), "disk": (state.disk_free, disk)}
        for name, (size, share) in free.items():
            bars[name][0].set_value(round(share, 3))
            bars[name][1].set_text(say(f"system.{name}_free", size=f"{size / GIGABYTE:.1f}"))
        bars["processor"][0].set_value(round(state.processor_percent / 100, 2))
        bars["processor"][1].set_text(f"{say('system.processor')}: {state.processor_percent:.0f} %")
        key = (state.hardware, workspace.warnings)
        if key != shown[0]:
            shown[0] = key
            _facts(workspace, say, found, state)
            is_known = state.hardware is not None
            text = await run.io_bound(doctor_text, workspace.folder, state) if is_known else say("system.looking")
            if not report.is_deleted:
                report.set_text(text)

    ui.timer(0.1, refresh, once=True)
    ui.timer(2.0, refresh)


def _bar(label: str) -> tuple[ui.linear_progress, ui.label]:
    text = ui.label(label)
    return ui.linear_progress(0, show_value=False).props(f'aria-label="{label}"'), text


def _facts(workspace: Workspace, say: Texts, found: ui.column, state: SystemState) -> None:
    found.clear()
    with found:
        if state.hardware is None:
            ui.label(say("system.looking"))
            return
        for gpu in state.hardware.gpus:
            ui.label(f"{gpu['device']}: {gpu['name']}")
        for line in consequences(state.hardware):
            ui.label(say.told(line))
        if len(state.hardware.devices) > 1:
            field = choice_field(say("system.device"), "system.device", list(state.hardware.devices))
            workspace.device = str(field.value)
            field.on_value_change(lambda event: setattr(workspace, "device", str(event.value)))


def _probe(workspace: Workspace, say: Texts) -> None:
    """Show what batch fits, measured by a job of its own."""
    datasets = workspace.datasets()
    heading(say("system.batch"))
    words = ui.label(say("system.batch_unknown"))

    async def refresh() -> None:
        proposed = await run.io_bound(proposed_batch, workspace.queue)
        if proposed is not None and not words.is_deleted:
            words.set_text(proposed[1])

    async def measure() -> None:
        script, *settings = probe_command(str(app.storage.general["train.dataset"]))
        try:
            await run.io_bound(workspace.submit, Command(script, tuple(settings)), say("system.batch_job"))
            ui.notify(say("common.started"), type="positive")
        except WorkbenchError as error:
            ui.notify(say.told(error), type="negative")

    if datasets:
        choice_field(say("train.dataset"), "train.dataset", datasets)
        ui.button(say("system.measure"), icon="speed", on_click=measure).props("no-caps outline")
    ui.timer(0.1, refresh, once=True)
    ui.timer(5.0, refresh)
