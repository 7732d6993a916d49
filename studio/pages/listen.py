"""What a training sounds like at each of its states, against the recordings; and blind, so that the ear decides."""

import random
from itertools import pairwise

from nicegui import app, run, ui

from studio.clips import play_state, state_name
from studio.commands import Command
from studio.components import choice_field, player
from studio.files import address
from studio.jobs import Job
from studio.jobview import job_panel
from studio.shell import heading
from studio.texts import Texts
from studio.workspace import Workspace
from utils.reports.heard import shown_states
from utils.training.listening import HeardClip, HeardState, ListeningFolder


def show(workspace: Workspace, say: Texts) -> None:
    """Show a run's clips with all their states, a blind comparison, and the page of the run."""
    draft = app.storage.general
    chosen = choice_field(say("listen.run"), "listen.run", workspace.begun_runs())
    place = ui.column().classes("w-full")

    async def refresh() -> None:
        place.clear()
        name = draft["listen.run"]
        if not name:
            with place:
                ui.label(say("listen.none"))
            return
        folder = ListeningFolder(workspace.folder / "runs" / name)
        clips = await run.io_bound(folder.clips)
        with place:
            for clip in clips:
                _clip(workspace, say, folder, clip)
            if not clips:
                ui.label(say("listen.nothing"))
            for clip in clips[:1]:
                _Blind(workspace, say, folder, clip).build()
            _page(workspace, say, name)

    chosen.on_value_change(refresh)
    ui.timer(0.1, refresh, once=True)
    job_panel(workspace, say, is_report)


def is_report(job: Job) -> bool:
    """Whether a job makes the page of a run."""
    return job.script == "report.py"


def _clip(workspace: Workspace, say: Texts, folder: ListeningFolder, clip: HeardClip) -> None:
    with ui.card().classes("w-full"):
        heading(clip.title)
        ui.label(say(f"listen.{clip.kind}")).classes("studio-quiet")
        for state in shown_states(clip.states, None):
            play_state(workspace, say, folder, clip, state)


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


class _Blind:
    """Two neighbouring states of a clip, dealt as A and B: which is better? The names are shown after the answer."""

    def __init__(self, workspace: Workspace, say: Texts, folder: ListeningFolder, clip: HeardClip) -> None:
        self.workspace, self.say, self.folder, self.clip = workspace, say, folder, clip
        states = [state for state in shown_states(clip.states, None) if state.role != "source"]
        self.pairs = list(pairwise(states))
        self.answers: list[str] = []

    def build(self) -> None:
        """Lay it out; nothing where there is nothing to compare."""
        if not self.pairs:
            return
        with ui.card().classes("w-full"):
            heading(self.say("listen.blind"))
            ui.label(self.say("listen.blind_about")).classes("studio-quiet")
            self.area = ui.column().classes("w-full")
            self.result = ui.label().props("role=status").style("white-space: pre-line")
        self.deal()

    def deal(self) -> None:
        """Deal the next pair."""
        self.area.clear()
        if len(self.answers) == len(self.pairs):
            return
        pair = list(self.pairs[len(self.answers)])
        random.shuffle(pair)
        with self.area:
            for letter, state in zip("AB", pair, strict=True):
                player(self.workspace, self.folder.folder / state.file, letter)
            with ui.row():
                for letter, better, worse in (("A", pair[0], pair[1]), ("B", pair[1], pair[0])):
                    ui.button(
                        self.say("listen.better", letter=letter),
                        on_click=lambda better=better, worse=worse: self.answer(better, worse),
                    ).props("no-caps outline")

    def answer(self, better: HeardState, worse: HeardState) -> None:
        """Keep an answer and show which was which."""
        names = [state_name(self.say, self.clip, state) for state in (better, worse)]
        self.answers.append(self.say("listen.answer", better=names[0], worse=names[1]))
        self.result.set_text("\n".join(self.answers))
        self.deal()
