"""Settings of python -m recipes.content_encoder; settings.yaml has the defaults and says what each is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from recipes.settings import CorpusSettings, Seed, Settings, Text
from utils.errors import ConfigError

PATHS = ("run.root", "start")


class ValidatedCorpusSettings(CorpusSettings):
    """A corpus of which some speakers are kept for validation."""

    held_out: int = Field(0, ge=0)


class RunSettings(Settings):
    """Where the recipe writes: a folder `name` in `root`."""

    name: Text
    root: Text


class ContentEncoderSettings(Settings):
    """All settings of the recipe."""

    run: RunSettings
    seed: Seed
    steps: int = Field(ge=1)
    rate: float = Field(ge=1e-7, le=0.1)
    start: Text | None
    workers: int = Field(ge=1)
    version: Text
    corpora: dict[str, ValidatedCorpusSettings]

    @field_validator("corpora", mode="before")
    @classmethod
    def _read_corpora(cls, values: Any) -> dict[str, ValidatedCorpusSettings]:
        if not isinstance(values, Mapping) or not values:
            raise ConfigError("corpora names no recordings; give at least one: {name: {folder: ..., share: 1}}")
        found = {str(name): ValidatedCorpusSettings.of(node, f"corpora.{name}") for name, node in values.items()}
        if not any(corpus.held_out for corpus in found.values()):
            raise ConfigError("corpora: no held_out above 0; without speakers kept apart there is no validation")
        return found

    @property
    def run_folder(self) -> Path:
        """Folder that receives everything."""
        return Path(self.run.root) / self.run.name

    @property
    def start_file(self) -> Path | None:
        """Weights of a finished encoder to go on from, if any."""
        return None if self.start is None else Path(self.start).expanduser()
