"""The configuration of report.py: one page for a run, a dataset or an exported voice."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field, model_validator

from utils.config.fields import OptionalPath, Section, setting
from utils.config.job import Job
from utils.errors import ConfigError

USAGE = """\
Write report.html: one file that opens in any browser and needs no network.

  python report.py run=runs/alice                       curves, states to listen to, recordings; train.py writes it too
  python report.py dataset=datasets/alice               are the recordings good enough?
  python report.py voice=exports/alice                 the verification, and the figures of test_model.py evaluate=
  python report.py voice=exports/alice converted=converted/alice sources=songs target=recordings/alice    and sounds

Environment variables set keys too, beneath the command line: VOCLO_RUN=runs/alice is run=runs/alice."""
HINT = "python report.py run=runs/<run>"
KINDS = ("run", "dataset", "voice")
OF_VOICES = {"page": ("run=", "voice=")}


class EvaluationFile(Section):
    """The section `evaluation`, which is written evaluation=<path>."""

    path: OptionalPath = setting(
        None, "of test_model.py evaluate=; null: evaluation.json in that folder", only_with=OF_VOICES,
        example="exports/alice/evaluation.json",
    )  # fmt: skip


class ReportJob(Job):
    """A page: python report.py run=runs/<run>."""

    config_name: ClassVar[str] = "report"
    usage: ClassVar[str] = USAGE
    # evaluation= alone would choose an option of train.py's group of that name
    short_keys: ClassVar[dict[str, str]] = {"evaluation": "evaluation.path"}

    run: OptionalPath = setting(None, "folder of a run")
    dataset: OptionalPath = setting(None, "folder of a prepared dataset")
    voice: OptionalPath = setting(None, "folder of an exported voice")
    output: OptionalPath = setting(None, "the page; null: report.html in that folder", example="alice.html")
    evaluation: EvaluationFile = Field(default_factory=EvaluationFile)
    converted: OptionalPath = setting(None, "folder of converted files to listen to", only_with=OF_VOICES)
    sources: OptionalPath = setting(None, "folder of their sources", only_with=OF_VOICES)
    target: OptionalPath = setting(None, "folder of recordings of the speaker, beside them", only_with=OF_VOICES)

    @model_validator(mode="after")
    def _check(self) -> Self:
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if not given:
            raise ConfigError("run is missing; so are dataset and voice, one of the three is needed.", hint=HINT)
        if len(given) > 1:
            raise ConfigError(f"{given[0]}= and {given[1]}= are two pages; give one of {', '.join(KINDS)}")
        if (self.converted is None) != (self.sources is None):
            absent, present = ("sources", "converted") if self.sources is None else ("converted", "sources")
            raise ConfigError(f"{present}= needs {absent}=, which it belongs to; give both or none")
        if self.target is not None and self.converted is None:
            raise ConfigError(f"target={self.target} does nothing without converted= and sources=; give them too")
        return self

    @property
    def uses(self) -> dict[str, str]:
        """What the page is of, by what settings may depend on."""
        return {"page": next(f"{kind}=" for kind in KINDS if getattr(self, kind) is not None)}

    @property
    def folder(self) -> Path:
        """The run, the dataset or the exported voice."""
        return next(path for path in (self.run, self.dataset, self.voice) if path is not None)

    @property
    def place(self) -> Path:
        """Where the page is written."""
        return self.output or self.folder / "report.html"


def report_job(overrides: Sequence[str]) -> ReportJob:
    """Build the job of report.py from overrides as on its command line.

    Raises:
        ConfigError: in one line, naming the key, its value and what is allowed.
    """
    return ReportJob.from_overrides(overrides)
