"""Settings of python -m recipes.stream_pitch; settings.yaml has the defaults and says what each is."""

from pydantic import Field

from recipes.settings import Seed
from utils.config.fields import FilePath, OptionalPath, Section

PATHS = ("output", "corpus", "start")


class StreamPitchSettings(Section):
    """All settings of the recipe."""

    output: OptionalPath
    corpus: FilePath
    minutes: float = Field(ge=0.01)
    start: OptionalPath
    seed: Seed
