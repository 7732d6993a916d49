"""Settings of python -m recipes.content_encoder; settings.yaml has the defaults and says what each is."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from recipes.settings import Corpora, Seed
from utils.config.fields import FilePath, OptionalPath, Section, Text
from utils.errors import ConfigError

PATHS = ("run.root", "start")


class RunSettings(Section):
    """Where the recipe writes: a folder `name` in `root`."""

    name: Text
    root: FilePath


class ContentEncoderSettings(Section):
    """All settings of the recipe."""

    run: RunSettings
    seed: Seed
    steps: int = Field(ge=1)
    rate: float = Field(ge=1e-7, le=0.1)
    start: OptionalPath
    workers: int = Field(ge=1)
    version: Text
    corpora: Corpora

    @model_validator(mode="after")
    def _check_validation(self) -> Self:
        if not any(corpus.held_out for corpus in self.corpora.values()):
            raise ConfigError("corpora: no held_out above 0; without speakers kept apart there is no validation")
        return self

    @property
    def run_folder(self) -> Path:
        """Folder that receives everything."""
        return self.run.root / self.run.name
