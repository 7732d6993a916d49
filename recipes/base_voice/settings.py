"""Settings of python -m recipes.base_voice; settings.yaml has the defaults and says what each is."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from recipes.settings import Settings, Text
from utils.errors import ConfigError

PATHS = ("output", "run", "rebase", "recordings", "dataset", "base")
SHIPPED = Path(__file__).resolve().parents[2] / "models" / "weights"
ACTIONS = ("run", "rebase", "narrow")


class BaseVoiceSettings(Settings):
    """All settings of the recipe."""

    output: Text | None
    version: Text
    run: Text | None
    checkpoint: Literal["best", "last"]
    rebase: Text | None
    content: Text
    recordings: Text | None
    narrow: int | None = Field(ge=1)
    dataset: Text | None
    base: Text | None

    @property
    def base_folder(self) -> Path:
        """Folder of the base that is changed."""
        return SHIPPED if self.base is None else Path(self.base).expanduser()

    def path(self, key: str, why: str) -> Path:
        """Return the path of a key.

        Args:
            key: of a path.
            why: what it is needed for, for the message.
        Raises:
            ConfigError: if it is not given.
        """
        value = getattr(self, key)
        if value is None:
            raise ConfigError(f"{key} is missing; {why}")
        return Path(value).expanduser()

    def action(self) -> str:
        """Return which of run, rebase and narrow is given.

        Raises:
            ConfigError: if none or several are.
        """
        given = [key for key in ACTIONS if getattr(self, key) is not None]
        if len(given) != 1:
            raise ConfigError(f"{' and '.join(given) or 'nothing'} is given; give one of {', '.join(ACTIONS)}")
        return given[0]
