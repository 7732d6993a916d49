"""Sentences to read aloud, the microphone, and how much of a voice is there already."""

import json
from typing import Any
from urllib.parse import quote

from nicegui import app, ui

from studio.components import ask_browser, choice_field, go_button, name_field, player, upload_field
from studio.prompts import prompt_languages, prompts_of, sentences_of
from studio.shell import heading
from studio.sources import BEGIN
from studio.takes import NOISE_FAIR_DB, NOISE_LIMIT_DB, Takes
from studio.texts import Texts
from studio.workspace import Workspace
from utils.errors import ConfigError

NOISE_SECONDS = 3
GOAL_MINUTES = 10.0
METER = """
.studio-meter { height: 2rem; border-radius: .4rem; border: 1px solid #888; padding: .2rem .6rem; width: 100%;
  background: linear-gradient(to right, var(--colour, #2e9a5655) var(--level, 0%), transparent var(--level, 0%)); }
.studio-meter[data-state=hot] { --colour: #d6300088; } .studio-meter[data-state=low] { --colour: #8888; }
.studio-prompt { font-size: 1.5rem; line-height: 1.4; }
"""
TAKE = """
const facts = window.studioRecorder.stop();
const answer = await window.studioRecorder.send(%s + "?" + new URLSearchParams(facts));
return { ...facts, ...answer };
"""


def show(workspace: Workspace, say: Texts) -> None:
    """Show the check of the room, the sentence, the buttons and what was recorded."""
    ui.add_css(METER)
    ui.add_head_html('<script src="/static/recorder.js"></script>')
    draft = app.storage.general
    voice = name_field(say("data.name"), "data.name", "my_voice")
    languages = prompt_languages()
    language = choice_field(say("record.language"), "record.language", languages, say.language)
    _Recorder(workspace, say, draft, voice, language).build()


class _Recorder:
    """The state of the page: which sentence is read."""

    def __init__(self, workspace: Workspace, say: Texts, draft: Any, voice: Any, language: Any) -> None:
        self.workspace, self.say, self.draft = workspace, say, draft
        self.voice, self.language = voice, language
        self.number = 0
        self.taken: tuple[str, str, int] | None = None  # voice, language and number of what is being recorded

    @property
    def is_recording(self) -> bool:
        return self.taken is not None

    @property
    def takes(self) -> Takes:
        """Raises ConfigError while the name is none."""
        return Takes(self.workspace, str(self.draft["data.name"] or "").strip())

    def build(self) -> None:
        """Lay the page out."""
        say = self.say
        heading(say("record.room"))
        ui.label(say("record.room_about")).classes("studio-quiet")
        self.meter = (
            ui.element("div")
            .classes("studio-meter")
            .props("id=meter role=meter aria-valuemin=-60 aria-valuemax=0 aria-valuenow=-60")
            .props(f'aria-label="{say("record.level")}" data-hot="{say("record.hot")}" data-low="{say("record.low")}"')
        )
        with ui.row().classes("items-center"):
            ui.button(say("record.check"), icon="hearing", on_click=self.check_room).props("no-caps outline")
            self.room = ui.label().props("role=status")
        heading(say("record.read"))
        self.position = ui.label().classes("studio-quiet")
        self.sentence = ui.label().classes("studio-prompt").props("aria-live=polite")
        with ui.row():
            self.button = ui.button(say("record.start"), icon="mic", on_click=self.toggle).props("no-caps unelevated")
            self.button.props("color=negative")
            back = ui.button(say("record.previous"), icon="chevron_left", on_click=lambda: self.move(-1))
            following = ui.button(say("record.next"), icon="chevron_right", on_click=lambda: self.move(1))
        for button in (back, following):
            button.props("no-caps flat")
        self.ways = (back, following, self.voice, self.language)  # which would lead away from what is being recorded
        self.said = ui.label().props("role=status")
        self.heard = ui.column().classes("w-full")
        heading(say("record.so_far"))
        self.summary = ui.label()
        self.unreadable = ui.label().classes("studio-error").props("role=alert").style("overflow-wrap: anywhere")
        self.bar = ui.linear_progress(0, show_value=False).props(f'aria-label="{say("record.minutes")}"')
        upload_field(say("data.drop"), say, lambda: self.takes.folder, self.show_summary)
        go_button(say("record.done"), "/data")
        self.language.on_value_change(self.first_open)
        self.voice.on_value_change(self.first_open)
        self.first_open()
        ui.timer(2.0, self.show_summary)

    def first_open(self) -> None:
        """Go to the first sentence that was not read yet."""
        try:
            read = self.takes.of(self.draft["record.language"])
        except ConfigError:  # told below the name
            read = {}
        sentences = prompts_of(self.draft["record.language"])
        self.number = next((number for number in range(len(sentences)) if number not in read), 0)
        self.refresh()

    def move(self, by: int) -> None:
        """Go to another sentence."""
        sentences = prompts_of(self.draft["record.language"])
        self.number = min(max(0, self.number + by), len(sentences) - 1)
        self.said.set_text("")
        self.refresh()

    def refresh(self) -> None:
        """Show the sentence and what was recorded of it."""
        language = self.draft["record.language"]
        sentences = prompts_of(language)
        is_read = self.number < len(sentences_of(language))
        position = "record.position" if is_read else "record.topic"
        self.position.set_text(self.say(position, number=self.number + 1, all=len(sentences)))
        self.sentence.set_text(sentences[self.number])
        self.heard.clear()
        try:
            path = self.takes.path(language, self.number)
        except ConfigError:
            path = None
        if path and path.is_file():
            with self.heard:
                player(self.workspace, path, self.say("record.take"))
        self.button.set_text(self.say("record.again") if path and path.is_file() else self.say("record.start"))
        self.show_summary()

    def show_summary(self) -> None:
        """Show minutes, sounds and pitch so far."""
        try:
            takes = self.takes
        except ConfigError:
            self.summary.set_text("")
            return
        found = takes.summary(self.draft["record.language"])
        pitch = self.say("record.pitch", low=f"{found['low_hz']:.0f}", high=f"{found['high_hz']:.0f}")
        words = self.say("record.summary", minutes=f"{found['minutes']:.1f}", share=f"{found['coverage']:.0%}")
        self.summary.set_text(f"{words} {pitch if found['high_hz'] else ''}")
        self.bar.set_value(min(1.0, found["minutes"] / GOAL_MINUTES))
        damaged = takes.unreadable
        place = damaged.relative_to(self.workspace.folder) if damaged else ""
        self.unreadable.set_text(self.say("record.unreadable", file=place) if damaged else "")
        self.unreadable.set_visibility(damaged is not None)

    async def check_room(self) -> None:
        """Listen to the empty room for three seconds."""
        self.room.set_text(self.say("record.silence"))
        code = f"""
            try {{ await window.studioRecorder.start("meter"); }} catch (error) {{ return {{ error: String(error) }}; }}
            await new Promise((resolve) => setTimeout(resolve, {NOISE_SECONDS * 1000}));
            return window.studioRecorder.stop();
        """
        found = await ask_browser(code, None)
        if self.room.is_deleted or found is None:  # the page was left meanwhile, or nobody allowed the microphone
            return
        if "error" in found:
            self.room.set_text(self.say("record.no_microphone", error=found["error"]))
            return
        level = float(found.get("level_db", 0))
        word = "loud" if level > NOISE_LIMIT_DB else "fair" if level > NOISE_FAIR_DB else "quiet"
        self.room.set_text(self.say(f"record.room_{word}", level=f"{level:.0f}"))

    async def toggle(self) -> None:
        """Begin to record, or end and keep it."""
        if self.is_recording:
            await self.finish()
        elif self.voice.validate():  # what is wrong is told below the name
            await self.begin()

    async def begin(self) -> None:
        """Open the microphone and record."""
        problem = await ask_browser(BEGIN, "timeout")
        if self.said.is_deleted:  # the page was left meanwhile
            return
        if problem:
            self.said.set_text(self.say("record.no_microphone", error=problem))
            return
        self.taken = (str(self.draft["data.name"]).strip(), self.draft["record.language"], self.number)
        for way in self.ways:
            way.disable()
        self.button.set_text(self.say("record.stop"))
        self.said.set_text(self.say("record.recording"))

    async def finish(self) -> None:
        """End the take, keep it and say what is wrong with it."""
        if self.taken is None:
            return
        (voice, language, at), self.taken = self.taken, None
        place = f"/take/{quote(voice, safe='')}/{language}/{at}"
        found = await ask_browser(TAKE % json.dumps(place), {"error": "timeout"})
        if self.said.is_deleted:  # the page was left meanwhile; what was sent is kept
            return
        for way in self.ways:
            way.enable()
        if "error" in found:
            self.said.set_text(str(found["error"]))
            self.refresh()
            return
        take = Takes(self.workspace, voice).of(language).get(at)
        fault = take.fault if take else ""
        if not fault and at + 1 < len(prompts_of(language)):
            self.move(1)
        else:
            self.refresh()
        self.said.set_text(self.say(f"record.{fault or 'good'}", number=at + 1))
