"""Settings of python -m recipes.pitch; settings.yaml has the defaults and says what each is."""

from pydantic import Field

from recipes.settings import Corpora, Seed
from utils.config.fields import OptionalPath, Section, Texts

PATHS = ("output",)


class PitchSettings(Section):
    """All settings of the recipe."""

    output: OptionalPath
    seed: Seed
    updates: int = Field(ge=1, le=10**6)
    leave_out: Texts
    corpora: Corpora
