"""Settings of the recipes: a YAML file beside each, changed with key=value and validated once."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from recipes.corpora import Corpus
from utils.command_line import run_program
from utils.config.arguments import spell_paths
from utils.console import emit
from utils.errors import ConfigError
from utils.files import check_new_file

FILE = "settings.yaml"
HELP = ("--help", "-h")


def _as_text(value: Any) -> Any:
    """Take a name such as 2024, which YAML reads as a number, for a text."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Text = Annotated[str, BeforeValidator(_as_text)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]


class Settings(BaseModel):
    """A typed section of settings: frozen, without unknown keys; no value is converted to another kind."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @classmethod
    def of(cls, values: Mapping[str, Any], key: str = "") -> Self:
        """Validate plain data.

        Args:
            values: of the section.
            key: of the section, for the message.
        Raises:
            ConfigError: one line with key, value and what is allowed.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join([*([key] if key else []), *(str(part) for part in first["loc"])])
            raise ConfigError(f"{place}={first['input']} is out of range or no such key: {first['msg']}") from error


class CorpusSettings(Settings):
    """A corpus of a recipe: its folder, and which part of the examples comes from it, relative to the others."""

    folder: Text
    share: float = Field(gt=0)

    def corpus(self, key: str) -> Corpus:
        """Return the corpus of a key such as corpora.nl.

        Raises:
            ConfigError: if its folder is absent.
        """
        folder, name = Path(self.folder).expanduser(), key.rpartition(".")[2]
        if not folder.is_dir():
            raise ConfigError(
                f"{key}.folder={folder} is not a folder; docs/guides/content_encoder.md says how to get the "
                f"recordings, '~{key}' leaves it out"
            )
        return Corpus(name, folder, self.share)


SomeSettings = TypeVar("SomeSettings", bound=Settings)


def read_settings(kind: type[SomeSettings], folder: Path, overrides: Sequence[str]) -> SomeSettings:
    """Read settings.yaml of a recipe, change it by overrides in Hydra's grammar and validate it.

    Raises:
        ConfigError: one line, if a key is unknown or a value is not allowed.
    """
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(config_dir=str(folder), version_base="1.3"):
            found = OmegaConf.to_container(compose(Path(FILE).stem, list(overrides)), resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ConfigError(f"{lines[0]} (keys and their defaults: {folder.name}/{FILE})") from error
    assert isinstance(found, dict)
    return kind.of({str(key): value for key, value in found.items()})


def new_output(output: str | None) -> Path:
    """Return the file that a recipe shall write.

    Raises:
        ConfigError: if none is given, it exists or it cannot be written.
    """
    if output is None:
        raise ConfigError("output is missing; give the name of a new file")
    path = Path(output).expanduser()
    check_new_file(path, "output")
    if path.exists():
        raise ConfigError(f"output={path} exists; give another name")
    return path


def run_recipe(
    kind: type[SomeSettings],
    make: Callable[[SomeSettings], object],
    *,
    folder: Path,
    paths: Sequence[str],
    description: str | None,
    arguments: Sequence[str] | None,
) -> int:
    """Run the command line of a recipe; return the exit code.

    Args:
        kind: its settings.
        make: the recipe.
        folder: where its settings.yaml lies.
        paths: keys whose value is a path, which may be typed without Hydra's quotes.
        description: shown by --help, above the settings.
        arguments: key=value each; None takes those of the program.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if any(argument in HELP for argument in given):
        emit(f"{(description or '').strip()}\n\nKeys and their defaults (change with key=value):\n")
        emit((folder / FILE).read_text(encoding="utf-8"))
        return 0

    def work() -> int:
        make(read_settings(kind, folder, spell_paths(given, paths, {})))
        return 0

    return run_program(folder.name, work)
