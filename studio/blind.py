"""A blind comparison of two sounds on a page: again and again in another order, until somebody wants to know."""

import random
from collections.abc import Mapping
from pathlib import Path

from nicegui import ui

from studio.components import player
from studio.shell import heading
from studio.texts import Texts
from studio.workspace import Workspace

Groups = Mapping[str, Mapping[str, Path]]  # what belongs together (the same words): label of each sound -> its file


class BlindTest:
    """Two sounds of a group, dealt as A and B: which is better? What was which is told when it is asked for.

    Args:
        workspace: has the sounds.
        say: texts.
        groups: what can be compared; those of fewer than two sounds are left out.
    """

    def __init__(self, workspace: Workspace, say: Texts, groups: Groups) -> None:
        self.workspace, self.say = workspace, say
        self.groups = {title: dict(sounds) for title, sounds in groups.items() if len(sounds) > 1}
        self.pair: list[str] = []  # labels, as A and B
        self.wins: dict[str, int] = {}

    @property
    def is_running(self) -> bool:
        """Whether two sounds are dealt and what was which was not asked for yet."""
        return bool(self.pair)

    def build(self) -> None:
        """Lay it out; nothing where there is nothing to compare."""
        if not self.groups:
            return
        say = self.say
        with ui.card().classes("w-full").props("data-blind"):
            heading(say("listen.blind"))
            ui.label(say("listen.blind_about")).classes("studio-quiet")
            self.group = self._choice(say("listen.recording"), list(self.groups))
            with ui.row().classes("w-full"):
                self.first = self._choice(say("listen.first"), []).classes("col")
                self.second = self._choice(say("listen.second"), []).classes("col")
            ui.button(say("listen.deal"), icon="shuffle", on_click=self.begin).props("no-caps outline")
            self.area = ui.column().classes("w-full")
            self.result = ui.label().props("role=status").style("white-space: pre-line")
        self.group.on_value_change(self._offer)
        self._offer()

    def begin(self) -> None:
        """Forget earlier answers and deal the chosen two."""
        self.wins = {self.first.value: 0, self.second.value: 0}
        self.result.set_text("" if len(self.wins) == 2 else self.say("listen.same"))
        self._deal()

    def answer(self, better: str) -> None:
        """Count an answer and deal again."""
        self.wins[better] += 1
        self.result.set_text(self.say("listen.answers", count=sum(self.wins.values())))
        self._deal()

    def reveal(self) -> None:
        """Say how often each was preferred."""
        lines = [self.say("listen.wins", name=name, count=wins) for name, wins in self.wins.items()]
        self.result.set_text("\n".join(lines))
        self.pair = []
        self.area.clear()

    def _choice(self, label: str, options: list[str]) -> ui.select:
        field = ui.select(options, label=label, value=next(iter(options), None))
        return field.props(f'outlined dense aria-label="{label}"').classes("w-full")

    def _offer(self) -> None:
        labels = list(self.groups[self.group.value])
        self.first.set_options(labels, value=labels[0])
        self.second.set_options(labels, value=labels[1])
        self.pair = []
        self.area.clear()
        self.result.set_text("")

    def _deal(self) -> None:
        self.pair = []
        self.area.clear()
        if len(self.wins) < 2:
            return
        self.pair = random.sample(list(self.wins), 2)
        sounds = self.groups[self.group.value]
        with self.area:
            for letter, label in zip("AB", self.pair, strict=True):
                player(self.workspace, sounds[label], letter)
            with ui.row():
                for letter, label in zip("AB", self.pair, strict=True):
                    better = ui.button(self.say("listen.better", letter=letter))
                    better.on_click(lambda label=label: self.answer(label)).props("no-caps outline")
                ui.button(self.say("listen.reveal"), icon="visibility", on_click=self.reveal).props("no-caps flat")
