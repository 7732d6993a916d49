"""Settings of python -m recipes.pitch; settings.yaml has the defaults and says what each is."""

from pydantic import Field

from recipes.settings import CorpusSettings, Seed, Settings, Text

PATHS = ("output",)


class PitchSettings(Settings):
    """All settings of the recipe."""

    output: Text | None
    seed: Seed
    updates: int = Field(ge=1, le=10**6)
    leave_out: list[Text]
    corpora: dict[str, CorpusSettings] = Field(min_length=1)
