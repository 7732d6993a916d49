"""Recordings in, the same words in another voice out."""

import shutil
from urllib.parse import quote

from nicegui import app, run, ui

from studio import commands
from studio.components import (
    choice_field,
    download_link,
    number_field,
    player,
    show_command,
    start_button,
    upload_field,
)
from studio.jobs import Job
from studio.jobview import job_panel
from studio.shell import heading
from studio.takes import CONVERT
from studio.texts import Texts
from studio.uploads import UploadFolder
from studio.workspace import STATE, Seen, Workspace

MOST_SHOWN = 40
BEGIN = 'try { await window.studioRecorder.start("meter"); return ""; } catch (error) { return String(error); }'
END = """window.studioRecorder.stop();
const answer = await window.studioRecorder.send("/microphone");
await window.studioRecorder.close();
return answer.error || "";"""
CONTROLS = ("index_rate", "protect", "loudness_mix")


def show(workspace: Workspace, say: Texts) -> None:
    """Show the voice, the files, the controls and what came out."""
    draft = app.storage.general
    voices = workspace.voices()
    voice = choice_field(say("convert.voice"), "convert.voice", list(voices))
    uploads = UploadFolder(workspace.uploads / CONVERT)
    _files(workspace, say, uploads)
    shifts = {kind: say(f"convert.pitch_{kind}") for kind in ("auto", "auto_octave", "own", "fixed")}
    choice_field(say("convert.pitch"), "convert.pitch", shifts)
    semitones = number_field(say("convert.semitones"), "convert.semitones", 0, min=-36, max=36, step=1)
    semitones.bind_visibility_from(draft, "convert.pitch", value="fixed")
    with ui.expansion(say("convert.more"), icon="tune").classes("w-full").props("dense"):
        numbers = {name: number_field(say(f"convert.{name}"), f"convert.{name}", None, step=0.05) for name in CONTROLS}

    def make() -> commands.Command | None:
        path = workspace.voices().get(draft["convert.voice"] or "")
        if path is None or not workspace.sounds(uploads.folder):
            return None
        shift = {"own": [], "fixed": [f"pitch_shift={draft['convert.semitones'] or 0:g}"]}
        controls = shift.get(draft["convert.pitch"], [f"pitch_shift={draft['convert.pitch']}"])
        controls += [
            f"{name}={draft[f'convert.{name}']:g}" for name in CONTROLS if draft[f"convert.{name}"] is not None
        ]
        return commands.convert(
            path.as_posix(), f"{STATE}/uploads/{CONVERT}", f"converted/{draft['convert.voice']}", controls
        )

    fields = {"onnx": voice, "pitch_shift": semitones, **numbers}
    title = lambda: say("convert.job", name=draft["convert.voice"])  # noqa: E731
    start_button(workspace, say, say("convert.start"), make, title, fields, icon="graphic_eq")
    show_command(say, make)
    job_panel(workspace, say, is_conversion, lambda seen: _converted(workspace, say, seen))


def is_conversion(job: Job) -> bool:
    """Whether a job converts recordings."""
    of_recordings = f"audio={STATE}/uploads/{CONVERT}"  # and no preview of a voice
    return job.script == "test_model.py" and of_recordings in job.arguments


def _files(workspace: Workspace, say: Texts, uploads: UploadFolder) -> None:
    shown: list[object] = [None]

    def refresh() -> None:
        sounds = workspace.sounds(uploads.folder)
        if sounds == shown[0]:
            return
        shown[0] = sounds
        names.clear()
        with names:
            ui.label(say("convert.count", count=len(sounds)))
            for path in sounds[:MOST_SHOWN]:
                with ui.row().classes("items-center no-wrap"):
                    ui.label(path.name).style("overflow-wrap: anywhere")
                    remove = ui.button(icon="close", on_click=lambda path=path: path.unlink(missing_ok=True))
                    remove.props(f'flat dense round aria-label="{say("convert.remove", file=path.name)}"')
            if sounds:
                ui.button(say("convert.clear"), icon="delete", on_click=clear).props("flat dense no-caps")

    async def clear() -> None:
        await run.io_bound(shutil.rmtree, uploads.folder, ignore_errors=True)

    upload_field(say("convert.drop"), say, lambda: uploads, refresh)
    _microphone(say)
    names = ui.column().classes("w-full gap-1")
    refresh()
    ui.timer(1.0, refresh)


def _microphone(say: Texts) -> None:
    """Show a button that records what is to be converted."""
    ui.add_head_html('<script src="/static/recorder.js"></script>')
    is_recording = [False]

    async def toggle() -> None:
        code = END if is_recording[0] else BEGIN
        problem = await ui.run_javascript(code, timeout=60)
        is_recording[0] = not is_recording[0] and not problem
        said.set_text(say("record.no_microphone", error=problem) if problem else "")
        button.set_text(say("record.stop") if is_recording[0] else say("convert.microphone"))

    with ui.row().classes("items-center"):
        button = ui.button(say("convert.microphone"), icon="mic", on_click=toggle).props("no-caps outline")
        said = ui.label().classes("studio-error").props("role=alert")


def _converted(workspace: Workspace, say: Texts, seen: Seen) -> None:
    """Show each file before and after, and the way to keep it."""
    settings = dict(argument.partition("=")[::2] for argument in seen.job.arguments[1:])
    folder = workspace.folder / settings.get("output", "converted")
    began = seen.job.started or 0
    made = [path for path in workspace.sounds(folder) if path.stat().st_mtime >= began - 1]
    heading(say("convert.results", count=len(made)))
    if len(made) > 1:
        with ui.link(target=f"/zip/{quote(folder.name)}").props("download").classes("row items-center q-gutter-xs"):
            ui.icon("folder_zip").props("aria-hidden=true")
            ui.label(say("convert.together"))
    sources = {path.stem: path for path in workspace.sounds(workspace.uploads / CONVERT)}
    for path in made[:MOST_SHOWN]:
        with ui.card().classes("w-full"):
            if path.stem in sources:
                player(workspace, sources[path.stem], say("role.source"))
            player(workspace, path, say("role.converted"))
            download_link(workspace, path, say("convert.download", file=path.name))
