"""A run becomes a voice: one file, proven, with its licence and consent in words."""

from pathlib import Path
from typing import Any

from nicegui import app, run, ui

from studio import commands
from studio.components import (
    choice_field,
    download_link,
    go_button,
    show_command,
    start_button,
    switch_field,
    text_field,
)
from studio.jobs import Job
from studio.jobview import job_panel
from studio.setting_search import changed_settings, setting_search
from studio.shell import heading
from studio.texts import Texts
from studio.workspace import Seen, Workspace, read_json

DELIVERED = (".onnx", ".index", ".md", ".json", ".pth", ".zip")
OUTCOMES = {"PASS": "positive", "FAIL": "negative", "WARN": "warning", "SKIP": "grey-8"}


def show(workspace: Workspace, say: Texts) -> None:
    """Show the fields, the button, the rules that were tried and the files."""
    draft = app.storage.general
    source = choice_field(say("deliver.run"), "deliver.run", workspace.runs())
    name = text_field(say("deliver.name"), "deliver.name", str(draft.get("deliver.run") or ""))
    formats = {kind: say(f"deliver.format_{kind}") for kind in commands.FORMATS}
    choice_field(say("deliver.format"), "deliver.format", formats, "onnx")
    whose = text_field(say("deliver.consent"), "deliver.consent", "", placeholder=say("deliver.consent_example"))
    licence = text_field(say("deliver.licence"), "deliver.licence", "", placeholder="CC BY 4.0")
    switch_field(say("deliver.agreed"), "deliver.agreed")
    note = ui.label(say("deliver.agree_first")).classes("studio-quiet")
    note.bind_visibility_from(draft, "deliver.agreed", value=False)

    setting_search(say, "deliver.settings", "export")

    def make() -> commands.Command | None:
        if not draft["deliver.run"]:
            return None
        name_of, terms, agreed = (str(draft[f"deliver.{key}"] or "").strip() for key in ("name", "licence", "consent"))
        folder = f"runs/{draft['deliver.run']}"
        settings = changed_settings("deliver.settings")
        return commands.export(
            folder, name_of or draft["deliver.run"], terms, agreed, draft["deliver.format"], settings
        )

    fields = {"run": source, "name": name, "licence": licence, "consent": whose}
    title = lambda: say("deliver.job", name=draft["deliver.name"] or draft["deliver.run"])  # noqa: E731
    button = start_button(workspace, say, say("deliver.start"), make, title, fields, icon="inventory_2")
    button.bind_enabled_from(draft, "deliver.agreed")
    show_command(say, make)
    job_panel(workspace, say, is_export, lambda seen: _delivered(workspace, say, seen))
    job_panel(workspace, say, is_verification)


def is_export(job: Job) -> bool:
    """Whether a job exports a voice."""
    return job.script == "export_onnx.py"


def is_verification(job: Job) -> bool:
    """Whether a job verifies a voice."""
    return job.script == "test_model.py" and any(argument.startswith("verify=") for argument in job.arguments)


def _delivered(workspace: Workspace, say: Texts, seen: Seen) -> None:
    settings = dict(argument.partition("=")[::2] for argument in seen.job.arguments[1:])
    folder = workspace.folder / "exports" / settings.get("name", "")
    voices = workspace.voices()
    if folder.name in voices:
        app.storage.general["convert.voice"] = folder.name
    heading(say("deliver.files"))
    for path in sorted(folder.glob("*")) if folder.is_dir() else []:
        if path.suffix in DELIVERED:
            download_link(workspace, path, f"{path.name} ({path.stat().st_size / 1e6:.1f} MB)")
    _rules(say, read_json(folder / "card.json"))
    with ui.row():
        if folder.name in voices:
            go_button(say("deliver.next"), "/convert")
            _verify_button(workspace, say, voices[folder.name])


def _verify_button(workspace: Workspace, say: Texts, voice: Path) -> None:
    async def start() -> None:
        await run.io_bound(workspace.submit, commands.verify(str(voice)), say("deliver.verify_job", name=voice.stem))

    ui.button(say("deliver.verify"), icon="verified", on_click=start).props("no-caps flat")


def _rules(say: Texts, card: dict[str, Any]) -> None:
    """Show the rules of the verification that the card has."""
    for graph, rows in card.get("verification", {}).items():
        outcomes = [row.get("outcome") for row in rows]
        tried = len(outcomes) - outcomes.count("SKIP")
        title = say("deliver.rules", passed=outcomes.count("PASS"), all=tried, graph=graph)
        with ui.expansion(title, icon="fact_check").classes("w-full"):
            for row in rows:
                with ui.row().classes("w-full items-center no-wrap"):
                    ui.badge(row.get("outcome", ""), color=OUTCOMES.get(row.get("outcome", ""), "grey-8"))
                    ui.label(row.get("name", "")).classes("text-weight-bold").style("min-width: 9rem")
                    ui.label(row.get("detail", "")).style("overflow-wrap: anywhere")
