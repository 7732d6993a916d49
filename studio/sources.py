"""The recordings that pages convert, the same on each: files, the microphone, and the pitch that they are moved to."""

import shutil

from nicegui import app, run, ui

from studio.components import ask_browser, choice_field, number_field, upload_field
from studio.takes import CONVERT
from studio.texts import Texts
from studio.uploads import UploadFolder
from studio.workspace import STATE, Workspace

RECORDINGS = f"{STATE}/uploads/{CONVERT}"  # from the folder of the voices
MOST_SHOWN = 40
SHIFTS = ("auto", "auto_octave", "own", "fixed")
BEGIN = 'try { await window.studioRecorder.start("meter"); return ""; } catch (error) { return String(error); }'
END = """window.studioRecorder.stop();
const answer = await window.studioRecorder.send("/microphone");
await window.studioRecorder.close();
return answer.error || "";"""


def sources_of(workspace: Workspace) -> UploadFolder:
    """Return the folder of the recordings to be converted."""
    return UploadFolder(workspace.uploads / CONVERT)


def recordings_field(workspace: Workspace, say: Texts) -> None:
    """Show what is to be converted: chosen, dropped or recorded here, on whichever page."""
    uploads = sources_of(workspace)
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


def pitch_fields(say: Texts, key: str) -> ui.number:
    """Show how the pitch is moved, kept as <key>.pitch and <key>.semitones; returns the field of the semitones."""
    choice_field(say("convert.pitch"), f"{key}.pitch", {kind: say(f"convert.pitch_{kind}") for kind in SHIFTS})
    semitones: ui.number = number_field(say("convert.semitones"), f"{key}.semitones", 0, min=-36, max=36, step=1)
    semitones.bind_visibility_from(app.storage.general, f"{key}.pitch", value="fixed")
    return semitones


def control_fields(say: Texts, key: str, names: tuple[str, ...]) -> dict[str, ui.number]:
    """Show fields for controls of a voice, kept as <key>.<name>; an empty one is what the voice has by itself."""
    return {name: number_field(say(f"convert.{name}"), f"{key}.{name}", None, step=0.05) for name in names}


def _microphone(say: Texts) -> None:
    """Show a button that records what is to be converted."""
    ui.add_head_html('<script src="/static/recorder.js"></script>')
    is_recording = [False]

    async def toggle() -> None:
        code = END if is_recording[0] else BEGIN
        problem = await ask_browser(code, "timeout")
        if said.is_deleted:  # the page was left meanwhile
            return
        is_recording[0] = not is_recording[0] and not problem
        said.set_text(say("record.no_microphone", error=problem) if problem else "")
        button.set_text(say("record.stop") if is_recording[0] else say("convert.microphone"))

    with ui.row().classes("items-center"):
        button = ui.button(say("convert.microphone"), icon="mic", on_click=toggle).props("no-caps outline")
        said = ui.label().classes("studio-error").props("role=alert")
