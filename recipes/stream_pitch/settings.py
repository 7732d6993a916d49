"""Settings of python -m recipes.stream_pitch; settings.yaml has the defaults and says what each is."""

from pathlib import Path

from pydantic import Field

from recipes.settings import Seed, Settings, Text
from utils.errors import ConfigError

PATHS = ("output", "corpus", "start")


class StreamPitchSettings(Settings):
    """All settings of the recipe."""

    output: Text | None
    corpus: Text
    minutes: float = Field(gt=0)
    start: Text | None
    seed: Seed

    @property
    def start_file(self) -> Path | None:
        """Weights of an earlier run, if any.

        Raises:
            ConfigError: if the file is absent.
        """
        if self.start is None:
            return None
        path = Path(self.start).expanduser()
        if not path.is_file():
            raise ConfigError(f"start={path} is not a file; give weights that this recipe wrote, or leave it out")
        return path
