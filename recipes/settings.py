"""Settings of the recipes: a YAML file beside each, changed with key=value and validated once."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field

from recipes.corpora import Corpus
from utils.command_line import run_program
from utils.config import MAX_SEED
from utils.config.arguments import spell
from utils.config.composing import compose_file
from utils.config.fields import FilePath, Section, validate
from utils.console import emit
from utils.errors import ConfigError
from utils.files import check_new_file

FILE = "settings.yaml"
HELP = ("--help", "-h")

Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]


class CorpusSettings(Section):
    """A corpus of a recipe.

    Attributes:
        folder: of recordings.
        share: part of the examples that comes from it, relative to the other corpora.
        held_out: how many of its speakers are kept for validation.
    """

    folder: FilePath
    share: float = Field(ge=1e-6)
    held_out: int = Field(0, ge=0)

    def corpus(self, name: str) -> Corpus:
        """Return the corpus under its name.

        Raises:
            ConfigError: if its folder is absent.
        """
        if not self.folder.is_dir():
            raise ConfigError(
                f"corpora.{name}.folder={self.folder} is not a folder; docs/guides/content_encoder.md says how to get "
                f"the recordings, '~corpora.{name}' leaves it out"
            )
        return Corpus(name, self.folder, self.share)


def _read_corpora(values: Any) -> dict[str, CorpusSettings]:
    if not isinstance(values, Mapping) or not values:
        raise ConfigError("corpora names no recordings; give at least one: {name: {folder: ..., share: 1}}")
    return {str(name): validate(CorpusSettings, node, f"corpora.{name}") for name, node in values.items()}


Corpora = Annotated[dict[str, CorpusSettings], BeforeValidator(_read_corpora)]
SomeSettings = TypeVar("SomeSettings", bound=Section)


def read_settings(kind: type[SomeSettings], folder: Path, overrides: Sequence[str]) -> SomeSettings:
    """Read settings.yaml of a recipe, change it by overrides in Hydra's grammar and validate it.

    Raises:
        ConfigError: one line, if a key is unknown or a value is not allowed.
    """
    return validate(kind, compose_file(folder / FILE, overrides))


def new_output(output: Path | None) -> Path:
    """Return the file that a recipe shall write.

    Raises:
        ConfigError: if none is given, it exists or it cannot be written.
    """
    if output is None:
        raise ConfigError("output is missing; give the name of a new file")
    check_new_file(output, "output")
    if output.exists():
        raise ConfigError(f"output={output} exists; give another name")
    return output


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

    def work() -> None:
        make(read_settings(kind, folder, spell(given, paths)))

    return run_program(folder.name, work)
