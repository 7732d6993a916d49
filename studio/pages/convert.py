"""Recordings in, the same words in another voice out."""

from urllib.parse import quote

from nicegui import app, ui

from studio import commands
from studio.components import choice_field, download_link, player, show_command, start_button
from studio.heard import control_words, shift_of
from studio.jobs import Job
from studio.jobview import job_panel
from studio.progress import values_of
from studio.shell import heading
from studio.sources import MOST_SHOWN, RECORDINGS, control_fields, pitch_fields, recordings_field, sources_of
from studio.texts import Texts
from studio.workspace import Seen, Workspace

CONTROLS = ("index_rate", "protect", "loudness_mix")
GRAPH = ".onnx"


def show(workspace: Workspace, say: Texts) -> None:
    """Show the voice, the files, the controls and what came out."""
    draft = app.storage.general
    voices = workspace.voices()
    voice = choice_field(say("convert.voice"), "convert.voice", list(voices))
    if not voices:
        ui.link(say("convert.no_voices"), "/deliver")
    recordings_field(workspace, say)
    semitones = pitch_fields(say, "convert")
    with ui.expansion(say("convert.more"), icon="tune").classes("w-full").props("dense"):
        numbers = control_fields(say, "convert", CONTROLS)

    def make() -> commands.Command | None:
        path = workspace.voices().get(draft["convert.voice"] or "")
        if path is None or not workspace.sounds(sources_of(workspace).folder):
            return None
        controls = control_words(shift_of(draft, "convert"), {name: draft[f"convert.{name}"] for name in CONTROLS})
        return commands.convert(path.as_posix(), RECORDINGS, f"converted/{draft['convert.voice']}", controls)

    fields = {"onnx": voice, "pitch_shift": semitones, **numbers}
    title = lambda: say("convert.job", name=draft["convert.voice"])  # noqa: E731
    start_button(workspace, say, say("convert.start"), make, title, fields, icon="graphic_eq")
    show_command(say, make)
    job_panel(workspace, say, is_conversion, lambda seen: _converted(workspace, say, seen))


def is_conversion(job: Job) -> bool:
    """Whether a job converts recordings with an exported voice."""
    values = values_of(job.arguments)  # previews of voices convert another sound, the page for listening saved states
    is_graph = values.get("onnx", "").endswith(GRAPH)
    return job.script == "test_model.py" and values.get("audio") == RECORDINGS and is_graph


def _converted(workspace: Workspace, say: Texts, seen: Seen) -> None:
    """Show each file before and after, and the way to keep it."""
    folder = workspace.folder / values_of(seen.job.arguments).get("output", "converted")
    began = seen.job.started or 0
    made = [path for path in workspace.sounds(folder) if path.stat().st_mtime >= began - 1]
    heading(say("convert.results", count=len(made)))
    if len(made) > 1:
        with ui.link(target=f"/zip/{quote(folder.name)}").props("download").classes("row items-center q-gutter-xs"):
            ui.icon("folder_zip").props("aria-hidden=true")
            ui.label(say("convert.together"))
    sources = {path.stem: path for path in workspace.sounds(sources_of(workspace).folder)}
    for path in made[:MOST_SHOWN]:
        with ui.card().classes("w-full"):
            if path.stem in sources:
                player(workspace, sources[path.stem], say("role.source"))
            player(workspace, path, say("role.converted"))
            download_link(workspace, path, say("convert.download", file=path.name))
