"""Recordings become a dataset, and the doctor says whether they are good enough."""

from collections import ChainMap
from collections.abc import Collection
from pathlib import Path

from nicegui import app, ui

from studio import commands
from studio.components import (
    choice_field,
    go_button,
    name_field,
    play_address,
    radio_field,
    show_command,
    start_button,
    switch_field,
    text_field,
    upload_field,
)
from studio.files import outlier_address, outliers
from studio.jobs import Job
from studio.jobview import job_panel
from studio.setting_search import changed_settings, setting_search
from studio.shell import heading
from studio.texts import Texts
from studio.uploads import UploadFolder, inside
from studio.workspace import Seen, Workspace, read_json
from utils.errors import ConfigError
from utils.reports.doctor import Finding, read_diagnosis

MOST_SHOWN = 12  # recordings to play


def show(workspace: Workspace, say: Texts) -> None:
    """Show the fields, the button and what came of it."""
    draft = app.storage.general
    name = name_field(say("data.name"), "data.name", "my_voice")
    ways = {"files": say("data.from_files"), "folder": say("data.from_folder")}
    radio_field(say("data.from"), "data.from", ways, "files").props("inline")
    with ui.column().classes("w-full") as files:
        _files(workspace, say)
    files.bind_visibility_from(draft, "data.from", value="files")
    source = text_field(say("data.folder"), "data.folder", "", placeholder="/home/me/recordings")
    source.bind_visibility_from(draft, "data.from", value="folder")
    goals = {goal: say(f"data.goal_{goal}") for goal in commands.GOALS}
    choice_field(say("data.goal"), "data.goal", goals)
    encoder = text_field(say("data.encoder"), "data.encoder", "")
    encoder.bind_visibility_from(draft, "data.goal", value="rvc")
    leave_out = switch_field(say("data.leave_out"), "data.leave_out")
    leave_out.bind_visibility_from(draft, "data.name", lambda value: _exclude_file(workspace, value) != "")

    found = setting_search(say, "data.settings", "preprocess", lambda: commands.GOALS[draft["data.goal"]])

    def make() -> commands.Command | None:
        given = str(draft["data.name"] or "").strip()
        folder = f"recordings/{given}" if draft["data.from"] == "files" else str(draft["data.folder"] or "").strip()
        exclude = _exclude_file(workspace, given) if draft["data.leave_out"] else ""
        settings = changed_settings("data.settings")
        encoder_file = draft["data.encoder"] or ""
        return commands.prepare(
            folder, given, draft["data.goal"], encoder=encoder_file, exclude=exclude, settings=settings
        )

    fields = ChainMap({"dataset.name": name, "dataset.source": source, "content.path": encoder}, found)
    start_button(workspace, say, say("data.start"), make, lambda: say("data.job", name=draft["data.name"]), fields)
    show_command(say, make)
    job_panel(workspace, say, is_preparation, lambda seen: _outcome(workspace, say, seen))


def is_preparation(job: Job) -> bool:
    """Whether a job makes a dataset."""
    return job.script == "preprocess.py"


def _exclude_file(workspace: Workspace, name: str) -> str:
    path = Path("datasets") / str(name or "") / "exclude.txt"
    try:
        return path.as_posix() if inside(workspace.folder, path.as_posix()).is_file() else ""
    except ConfigError:
        return ""


def _files(workspace: Workspace, say: Texts) -> None:
    draft = app.storage.general

    def folder() -> UploadFolder:
        return workspace.recordings(str(draft["data.name"] or "my_voice").strip())

    def count() -> None:
        try:
            place = folder().folder
        except ConfigError:  # told below the name
            said.set_text("")
            return
        said.set_text(say("data.count", count=len(workspace.sounds(place)), folder=f"recordings/{place.name}"))

    upload_field(say("data.drop"), say, folder, count)
    said = ui.label().classes("studio-quiet")
    count()
    ui.timer(1.0, count)


def _outcome(workspace: Workspace, say: Texts, seen: Seen) -> None:
    """Show the doctor's verdict, what to play and leave out, and the way on."""
    settings = dict(argument.partition("=")[::2] for argument in seen.job.arguments[1:])
    name = settings.get("dataset.name", "")
    dataset = workspace.folder / "datasets" / name
    report = read_json(dataset / "report.json")
    diagnosis = read_diagnosis(dataset)
    heading(say("data.verdict"))
    totals = report.get("totals", {})
    ui.label(say("data.totals", minutes=round(totals.get("minutes", 0), 1), count=totals.get("clips", 0)))
    for row in report.get("dropped", []):
        ui.label(say("data.dropped", file=row.get("source", ""), reason=row.get("problem", ""))).classes("studio-error")
    if diagnosis is not None:
        for speaker, _, words in diagnosis.verdicts:
            ui.label(f"{speaker}: {words}").classes("text-weight-bold")
        for line in diagnosis.plan:
            ui.label(line)
        playable = outliers(workspace, seen.job)
        for finding in diagnosis.findings:
            _finding(seen.job, finding, playable)
    go_button(say("data.next"), "/train", {"train.dataset": name, "train.run": name})


def _finding(job: Job, finding: Finding, playable: Collection[str]) -> None:
    """Show what one rule found, with the recordings that can be played."""
    with ui.expansion(f"{finding.rule}: {finding.word} ({len(finding.subjects)})").classes("w-full"):
        ui.label(finding.remedy)
        for subject, words in finding.subjects[:MOST_SHOWN]:
            if subject in playable:
                play_address(outlier_address(job, subject), f"{subject}: {words}")
            else:
                ui.label(f"{subject}: {words}")
