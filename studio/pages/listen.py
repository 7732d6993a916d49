"""What a training sounds like at each of its states: its own clips, and recordings of one's own; also blind."""

from collections.abc import Callable
from pathlib import Path

from nicegui import app, run, ui

from studio.blind import BlindTest, Groups
from studio.clips import play_state, state_name
from studio.commands import Command, convert
from studio.components import choice_field, player, show_command, start_button
from studio.files import address
from studio.heard import HEARD, STATES, HeardSound, Settings, checkpoint_of, folder_of, heard_sounds, states_of
from studio.jobs import Job
from studio.jobview import job_panel
from studio.progress import values_of
from studio.shell import heading
from studio.sources import RECORDINGS, control_fields, pitch_fields, recordings_field, sources_of
from studio.texts import Texts
from studio.workspace import Workspace
from utils.reports.heard import shown_states
from utils.training.listening import HeardClip, ListeningFolder

CONTROLS = ("index_rate", "protect")
MOST_HEARD = 12  # conversions of a recording
RUN = "listen.run"


def show(workspace: Workspace, say: Texts) -> None:
    """Show a run's clips with all their states, conversions of one's own recordings, a blind test, and its page."""
    chosen = choice_field(say("listen.run"), RUN, workspace.begun_runs())
    if not app.storage.general[RUN]:
        ui.label(say("listen.none"))
        return
    listening = _Listening(workspace, say)
    heading(say("listen.try"))
    ui.label(say("listen.try_about")).classes("studio-quiet")
    offer_states = _trial(workspace, say)
    job_panel(workspace, say, is_heard)
    listening.build()
    chosen.on_value_change(offer_states)
    chosen.on_value_change(listening.change)
    ui.timer(0.1, listening.refresh, once=True)
    ui.timer(2.0, listening.look)
    job_panel(workspace, say, is_report)


def is_report(job: Job) -> bool:
    """Whether a job makes the page of a run."""
    return job.script == "report.py"


def is_heard(job: Job) -> bool:
    """Whether a job converts with a saved state."""
    return job.script == "test_model.py" and values_of(job.arguments).get("output", "").startswith(f"{HEARD}/")


def _trial(workspace: Workspace, say: Texts) -> Callable[[], None]:
    """Show how one's own recordings are converted with a saved state; returns what offers the states of another run."""
    draft = app.storage.general
    state = choice_field(say("listen.state"), "listen.state", {name: say(f"listen.state_{name}") for name in STATES})
    recordings_field(workspace, say)
    semitones = pitch_fields(say, "listen")
    numbers = control_fields(say, "listen", CONTROLS)

    def make() -> Command | None:
        name = str(draft[RUN] or "")
        settings = Settings.of(draft, "listen")
        run_folder = workspace.folder / "runs" / name
        if settings.state not in states_of(run_folder) or not workspace.sounds(sources_of(workspace).folder):
            return None
        checkpoint = checkpoint_of(Path("runs") / name, settings.state)
        output = folder_of(workspace.folder, name, settings)
        return convert(checkpoint.as_posix(), RECORDINGS, output.as_posix(), settings.controls)

    fields = {"onnx": state, "pitch_shift": semitones, **numbers}
    title = lambda: say("listen.try_job", name=draft[RUN])  # noqa: E731
    start_button(workspace, say, say("listen.convert"), make, title, fields, icon="graphic_eq")
    show_command(say, make)

    def offer() -> None:
        names = states_of(workspace.folder / "runs" / str(draft[RUN])) or STATES[:1]
        typed = str(state.value)
        state.set_options(
            {name: say(f"listen.state_{name}") for name in names}, value=typed if typed in names else names[0]
        )

    offer()
    return offer


class _Listening:
    """The sounds of a run as they were read last."""

    def __init__(self, workspace: Workspace, say: Texts) -> None:
        self.workspace, self.say = workspace, say
        self.shown: object = None
        self.blind: BlindTest | None = None

    @property
    def name(self) -> str:
        return str(app.storage.general[RUN] or "")

    def build(self) -> None:
        """Lay the places out that are filled later."""
        self.sounds = ui.column().classes("w-full")
        self.test = ui.column().classes("w-full")
        self.page = ui.column().classes("w-full")

    async def look(self) -> None:
        """Show anew what has come."""
        if await run.io_bound(self._read) != self.shown:
            await self.refresh()

    async def change(self) -> None:
        """Show another run."""
        self.blind = None
        await self.refresh()

    async def refresh(self) -> None:
        """Read everything and show it."""
        self.shown = clips, heard = await run.io_bound(self._read)
        if self.sounds.is_deleted:  # the page was left meanwhile
            return
        workspace, say = self.workspace, self.say
        folder = ListeningFolder(workspace.folder / "runs" / self.name)
        groups = {clip.title: _sounds_of(say, folder, clip) for clip in clips}
        self.sounds.clear()
        with self.sounds:
            for recording in sorted({sound.recording for sound in heard}):
                of_this = [sound for sound in heard if sound.recording == recording][:MOST_HEARD]
                groups[recording] = {
                    sound.words(say): sound.path for sound in reversed(of_this)
                }  # the newest of a name
                self._recording(recording, of_this, folder, clips)
            for clip in clips:
                self._clip(folder, clip)
            if not clips and not heard:
                ui.label(say("listen.nothing"))
        self._offer(groups)

    def _offer(self, groups: Groups) -> None:
        """Offer what can be compared blind, unless somebody is answering, and the page of the run."""
        if self.blind is None or not self.blind.is_running:
            self.test.clear()
            self.blind = BlindTest(self.workspace, self.say, groups)
            with self.test:
                self.blind.build()
        self.page.clear()
        with self.page:
            _page(self.workspace, self.say, self.name)

    def _read(self) -> tuple[list[HeardClip], list[HeardSound]]:
        return ListeningFolder(self.workspace.folder / "runs" / self.name).clips(), heard_sounds(
            self.workspace, self.name
        )

    def _recording(self, name: str, heard: list[HeardSound], folder: ListeningFolder, clips: list[HeardClip]) -> None:
        """Show a recording of one's own: itself, what the states made of it, and the voice that was recorded."""
        sources = {path.stem: path for path in self.workspace.sounds(sources_of(self.workspace).folder)}
        recorded = [(clip, state) for clip in clips for state in clip.states if state.role == "target"]
        recorded += [(clip, clip.states[0]) for clip in clips if clip.kind == "held_out" and clip.states]
        with ui.card().classes("w-full").props(f'data-heard="{name}"'):
            heading(name)
            if name in sources:
                player(self.workspace, sources[name], self.say("role.source"))
            for sound in heard:
                player(self.workspace, sound.path, sound.words(self.say))
            for _, state in recorded[:1]:
                player(self.workspace, folder.folder / state.file, self.say("role.target"))

    def _clip(self, folder: ListeningFolder, clip: HeardClip) -> None:
        with ui.card().classes("w-full"):
            heading(clip.title)
            ui.label(self.say(f"listen.{clip.kind}")).classes("studio-quiet")
            for state in shown_states(clip.states, None):
                play_state(self.workspace, self.say, folder, clip, state)


def _sounds_of(say: Texts, folder: ListeningFolder, clip: HeardClip) -> dict[str, Path]:
    """Return what of a clip can be compared, by its name; a source is another voice."""
    states = [state for state in shown_states(clip.states, None) if state.role != "source"]
    return {state_name(say, clip, state): folder.folder / state.file for state in states}


def _page(workspace: Workspace, say: Texts, name: str) -> None:
    """Show the way to the page of a run, which has curves, spectra, players that switch in place, and blind tests."""
    page = workspace.folder / "runs" / name / "report.html"
    heading(say("listen.page"))
    ui.label(say("listen.page_about")).classes("studio-quiet")

    async def make() -> None:
        await run.io_bound(workspace.submit, Command("report.py", (f"run=runs/{name}",)), say("listen.job", name=name))

    with ui.row().classes("items-center"):
        if page.is_file():
            ui.link(say("listen.open"), address(workspace, page), new_tab=True)
        ui.button(say("listen.make"), icon="refresh", on_click=make).props("no-caps flat")
