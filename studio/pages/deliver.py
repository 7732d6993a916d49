"""A run, or a voice that another program made, becomes a voice: one file, proven, with licence and consent in words."""

from collections import ChainMap
from pathlib import Path
from typing import Any

from nicegui import app, run, ui

from studio import commands, web_page
from studio.components import (
    choice_field,
    download_link,
    go_button,
    radio_field,
    show_command,
    size_text,
    start_button,
    switch_field,
    text_field,
)
from studio.imported import imported_indexes, imported_voices, index_beside
from studio.jobs import Job
from studio.jobview import job_panel
from studio.progress import values_of
from studio.setting_search import changed_settings, setting_search
from studio.shell import heading
from studio.texts import Texts
from studio.workspace import Seen, Workspace, read_json

DELIVERED = (".onnx", ".index", ".md", ".json", ".pth", ".zip")
OUTCOMES = {"PASS": "positive", "FAIL": "negative", "WARN": "warning", "SKIP": "grey-8"}
RUN, IMPORTED = "run", "imported"  # where a voice comes from
CONVENTIONS = ("stated", "zero_unvoiced", "interpolated")  # the first: what the file says
BESIDE, NO_INDEX = "beside", "none"  # besides the names of imported ones


def show(workspace: Workspace, say: Texts) -> None:
    """Show the fields, the button, the rules that were tried and the files."""
    draft = app.storage.general
    radio_field(
        say("deliver.from"), "deliver.from", {kind: say(f"deliver.from_{kind}") for kind in (RUN, IMPORTED)}, RUN
    )
    with ui.column().classes("w-full") as of_runs:
        source = choice_field(say("deliver.run"), "deliver.run", workspace.runs())
        if not workspace.runs():
            ui.link(say("deliver.no_runs"), "/train")
        _format_field(say, "deliver.format", list(commands.FORMATS))
    with ui.column().classes("w-full") as of_imports:
        foreign = _imported_fields(workspace, say)
    of_runs.bind_visibility_from(draft, "deliver.from", value=RUN)
    of_imports.bind_visibility_from(draft, "deliver.from", value=IMPORTED)
    name = text_field(say("deliver.name"), "deliver.name", "", placeholder=say("deliver.name_example"))
    whose = text_field(say("deliver.consent"), "deliver.consent", "", placeholder=say("deliver.consent_example"))
    licence = text_field(say("deliver.licence"), "deliver.licence", "", placeholder="CC BY 4.0")
    switch_field(say("deliver.agreed"), "deliver.agreed")
    note = ui.label(say("deliver.agree_first")).classes("studio-quiet")
    note.bind_visibility_from(draft, "deliver.agreed", value=False)
    found = setting_search(say, "deliver.settings", "export", _format)

    def make() -> commands.Command | None:
        return _command(workspace)

    fields = ChainMap({"run": source, "name": name, "licence": licence, "consent": whose, **foreign}, found)
    chosen = lambda: draft["deliver.run" if draft["deliver.from"] == RUN else "deliver.imported"]  # noqa: E731
    title = lambda: say("deliver.job", name=draft["deliver.name"] or chosen())  # noqa: E731
    button = start_button(workspace, say, say("deliver.start"), make, title, fields, icon="inventory_2")
    button.bind_enabled_from(draft, "deliver.agreed")
    show_command(say, make)
    job_panel(workspace, say, is_export, lambda seen: _delivered(workspace, say, seen))
    job_panel(workspace, say, is_verification)


def _format() -> tuple[str, ...]:
    """Return the settings of the chosen format."""
    draft = app.storage.general
    return commands.FORMATS[draft["deliver.format" if draft["deliver.from"] == RUN else "deliver.foreign_format"]]


def is_export(job: Job) -> bool:
    """Whether a job exports a voice."""
    return job.script == "export_onnx.py"


def is_verification(job: Job) -> bool:
    """Whether a job verifies a voice."""
    return job.script == "test_model.py" and any(argument.startswith("verify=") for argument in job.arguments)


def _format_field(say: Texts, key: str, formats: list[str]) -> None:
    choice_field(say("deliver.format"), key, {kind: say(f"deliver.format_{kind}") for kind in formats}, "onnx")


def _imported_fields(workspace: Workspace, say: Texts) -> dict[str, Any]:
    """Show what must be known of a voice that another program made; returns the fields by the keys of its command."""
    draft = app.storage.general
    voices = list(imported_voices(workspace))
    voice = choice_field(say("deliver.imported"), "deliver.imported", voices)
    if not voices:
        ui.link(say("deliver.no_imports"), "/library")
    encoders = {name: say(f"deliver.encoder_{name or 'none'}") for name in commands.ENCODERS}
    choice_field(say("deliver.encoder"), "deliver.encoder", encoders, "contentvec")
    encoder = text_field(say("deliver.encoder_file"), "data.encoder", "")
    encoder.bind_visibility_from(draft, "deliver.encoder", lambda chosen: chosen not in (commands.BUILTIN, ""))
    conventions = {name: say(f"deliver.pitch_{name}") for name in CONVENTIONS}
    convention = choice_field(say("deliver.convention"), "deliver.convention", conventions, CONVENTIONS[0])
    indexes = {kind: say(f"deliver.index_{kind}") for kind in (BESIDE, NO_INDEX)} | {
        name: name for name in imported_indexes(workspace)
    }
    index = choice_field(say("deliver.index"), "deliver.index", indexes, BESIDE)
    _format_field(say, "deliver.foreign_format", list(commands.FOREIGN_FORMATS))
    return {"voice": voice, "content.path": encoder, "rvc.f0_convention": convention, "index": index}


def _index_of(workspace: Workspace, chosen: str, voice: Path) -> str:
    """Return the chosen index of a voice, from the folder of the voices; empty for none."""
    index = index_beside(workspace, voice) if chosen == BESIDE else imported_indexes(workspace).get(chosen)
    return index.as_posix() if index else ""


def _command(workspace: Workspace) -> commands.Command | None:
    """Return what the fields ask for; None where the voice is not chosen."""
    draft = app.storage.general
    name, licence, consent = (str(draft[f"deliver.{key}"] or "").strip() for key in ("name", "licence", "consent"))
    settings = changed_settings("deliver.settings")
    if draft["deliver.from"] == RUN:
        chosen = draft["deliver.run"]
        if not chosen:
            return None
        return commands.export(f"runs/{chosen}", name or chosen, licence, consent, draft["deliver.format"], settings)
    voice = imported_voices(workspace).get(str(draft["deliver.imported"] or ""))
    if voice is None:
        return None
    said = draft["deliver.convention"]
    return commands.export_file(
        voice.as_posix(), name or voice.stem, licence, consent, draft["deliver.foreign_format"],
        encoder=draft["deliver.encoder"], encoder_file=str(draft["data.encoder"] or "").strip(),
        index=_index_of(workspace, str(draft["deliver.index"]), voice),
        settings=[*([] if said == CONVENTIONS[0] else [f"rvc.f0_convention={said}"]), *settings],
    )  # fmt: skip


def _delivered(workspace: Workspace, say: Texts, seen: Seen) -> None:
    folder = workspace.folder / "exports" / values_of(seen.job.arguments).get("name", "")
    voices = workspace.voices()
    heading(say("deliver.files"))
    for path in sorted(folder.glob("*")) if folder.is_dir() else []:
        if path.suffix in DELIVERED:
            download_link(workspace, path, f"{path.name} ({size_text(path.stat().st_size)})")
    _rules(say, read_json(folder / "card.json"))
    if folder.name in voices:
        with ui.row():
            go_button(say("deliver.next"), "/convert", {"convert.voice": folder.name})
            _verify_button(workspace, say, voices[folder.name])
        browser_link(workspace, say, voices[folder.name])


def browser_link(workspace: Workspace, say: Texts, voice: Path) -> None:
    """Show the way to the page that converts in the browser itself, with a voice opened; a path from the folder."""
    if not web_page.is_ready():
        ui.label(say("deliver.browser_absent")).classes("studio-quiet")
        return
    target = web_page.page_address(workspace, workspace.folder / voice)
    with ui.link(target=target, new_tab=True).classes("row items-center q-gutter-xs"):
        ui.icon("open_in_new").props("aria-hidden=true")
        ui.label(say("deliver.browser"))


def _verify_button(workspace: Workspace, say: Texts, voice: Path) -> None:
    async def start() -> None:
        await run.io_bound(workspace.submit, commands.verify(str(voice)), say("deliver.verify_job", name=voice.stem))

    ui.button(say("deliver.verify"), icon="verified", on_click=start).props("no-caps flat")


def _rules(say: Texts, card: dict[str, Any]) -> None:
    """Show the rules of the verification that the card has."""
    for graph, rows in card.get("verification", {}).items():
        outcomes = [row.get("outcome") for row in rows]
        tried = len(outcomes) - outcomes.count("SKIP")
        facts = {"passed": outcomes.count("PASS"), "all": tried, "graph": graph}
        warned = outcomes.count("WARN")
        title = say("deliver.rules_warned", warned=warned, **facts) if warned else say("deliver.rules", **facts)
        with ui.expansion(title, icon="fact_check").classes("w-full"):
            for row in rows:
                with ui.row().classes("w-full items-center"):
                    ui.badge(row.get("outcome", ""), color=OUTCOMES.get(row.get("outcome", ""), "grey-8"))
                    ui.label(row.get("name", "")).classes("text-weight-bold").style("min-width: 9rem")
                    ui.label(row.get("detail", "")).style("overflow-wrap: anywhere; flex: 1 1 14rem")
