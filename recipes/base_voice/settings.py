"""Settings of python -m recipes.base_voice; settings.yaml has the defaults and says what each is."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from utils.config.fields import OptionalPath, Section, Text
from utils.errors import ConfigError

PATHS = ("output", "run", "rebase", "recordings", "dataset", "base")
SHIPPED = Path(__file__).resolve().parents[2] / "models" / "weights"
ACTIONS = ("run", "rebase", "narrow")


class BaseVoiceSettings(Section):
    """All settings of the recipe."""

    output: OptionalPath
    version: Text
    run: OptionalPath
    checkpoint: Literal["best", "last"]
    rebase: OptionalPath
    content: Text
    recordings: OptionalPath
    narrow: int | None = Field(ge=1)
    dataset: OptionalPath
    base: OptionalPath

    def path(self, key: str, remedy: str) -> Path:
        """Return the path of a key that is needed.

        Raises:
            ConfigError: if it is not given, with the remedy.
        """
        value: Path | None = getattr(self, key)
        if value is None:
            raise ConfigError(f"{key} is missing; {remedy}")
        return value

    def action(self) -> str:
        """Return which of run, rebase and narrow is given.

        Raises:
            ConfigError: if none or several are.
        """
        given = [key for key in ACTIONS if getattr(self, key) is not None]
        if len(given) != 1:
            raise ConfigError(f"{' and '.join(given) or 'nothing'} is given; give one of {', '.join(ACTIONS)}")
        return given[0]
