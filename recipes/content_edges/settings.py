"""Settings of python -m recipes.content_edges; settings.yaml has the defaults and says what each is."""

from pydantic import Field

from recipes.settings import Corpora, Seed
from utils.config.fields import OptionalPath, Section, Text, Texts

PATHS = ("output", "start", "teacher")


class ContentEdgesSettings(Section):
    """All settings of the recipe."""

    output: OptionalPath
    start: Text
    teacher: OptionalPath
    seed: Seed
    updates: int = Field(ge=1, le=10**6)
    rate: float = Field(ge=1e-7, le=0.1)
    whole_share: float = Field(ge=0.0, le=1.0)
    shortest_share: float = Field(ge=0.0, le=1.0)
    save_minutes: float = Field(ge=0.01)
    version: Text
    leave_out: Texts
    corpora: Corpora
