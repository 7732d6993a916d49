"""The sections that a page may consist of, each drawn by the template that it names, and the page itself.

A new kind of section is one class here and one file in templates/.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

from utils.reports.charts import Chart
from utils.reports.doctor import Diagnosis
from utils.reports.sounds import Group


class Fact(NamedTuple):
    """A name and its value, both in words."""

    name: str
    value: str


class Outcome(NamedTuple):
    """A rule or a test: "good", "warn", "bad" or "none" (not tried), the word for it, its name and what was found."""

    tone: str
    word: str
    name: str
    detail: str


class Figure(NamedTuple):
    """A measured figure in words: its name, value, interval, how to read it, and the difference from another voice."""

    name: str
    value: str
    interval: str
    meaning: str
    difference: str = ""
    is_real: bool = False


class Comparison(NamedTuple):
    """Two sounds of a blind test: an identifier, a title, and (label, identifier of the sound) of each."""

    identifier: str
    title: str
    first: tuple[str, str]
    second: tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a page.

    Attributes:
        title: its heading.
        anchor: its name in the page's address.
        intro: a sentence under the heading.
        template: file in templates/ that draws it.
    """

    template: ClassVar[str] = ""
    title: str
    anchor: str
    intro: str = ""


@dataclass(frozen=True, kw_only=True)
class FactsSection(Section):
    """Names and values, and notes below."""

    template: ClassVar[str] = "facts.html.j2"
    facts: Sequence[Fact]
    notes: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class ChartsSection(Section):
    """Plots."""

    template: ClassVar[str] = "charts.html.j2"
    charts: Sequence[Chart]


@dataclass(frozen=True, kw_only=True)
class SoundsSection(Section):
    """Players; `left_out` groups did not fit."""

    template: ClassVar[str] = "sounds.html.j2"
    groups: Sequence[Group]
    left_out: int = 0


@dataclass(frozen=True, kw_only=True)
class FiguresSection(Section):
    """Measured figures of a voice, beside another one where `other` names it."""

    template: ClassVar[str] = "figures.html.j2"
    figures: Sequence[Figure]
    other: str = ""
    notes: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class OutcomesSection(Section):
    """Rules with their outcomes in colours and words."""

    template: ClassVar[str] = "outcomes.html.j2"
    outcomes: Sequence[Outcome]


@dataclass(frozen=True, kw_only=True)
class DiagnosisSection(Section):
    """What the doctor found."""

    template: ClassVar[str] = "diagnosis.html.j2"
    diagnosis: Diagnosis


@dataclass(frozen=True, kw_only=True)
class BlindSection(Section):
    """A blind test between pairs of sounds."""

    template: ClassVar[str] = "blind.html.j2"
    comparisons: Sequence[Comparison]


@dataclass
class Page:
    """A page.

    Attributes:
        name: of the dataset, run or voice.
        kind: "dataset", "run" or "exported voice".
        verdict: its first line, in words.
        tone: "good", "warn" or "bad".
        facts: the few figures below it.
        sections: in their order.
    """

    name: str
    kind: str
    verdict: str
    tone: str
    facts: list[Fact] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)

    @property
    def groups(self) -> list[Group]:
        """Every group of sounds."""
        return [group for section in self.sections if isinstance(section, SoundsSection) for group in section.groups]
