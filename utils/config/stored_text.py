"""YAML texts that files bring: parsed within limits, and nothing in them is resolved."""

from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from utils.config.plain_data import first_line, shown
from utils.errors import FormatError

MAX_CHARACTERS = 2**20  # the configuration of a run has 5000
MAX_DEPTH = 32
MAX_PARTS = 50_000  # of what the parser finds: the begin and end of sections, keys, values
INTERPOLATION = "${"
THE_TEXT = "the stored configuration"


def from_yaml(text: Any, source: str = THE_TEXT) -> dict[str, Any]:
    """Return the plain data of a stored configuration; empty for an empty text.

    Stored configurations are resolved: one that holds an interpolation such as ${oc.env:HOME}, an alias, which lets a
    short text stand for more than memory holds, or a tag was not written by this workbench.

    Args:
        text: as a checkpoint or config.yaml holds it.
        source: words for it in messages.
    Raises:
        FormatError: in one line, if it is no such text.
    """
    if not isinstance(text, str):
        raise FormatError(f"{source} is no text but {shown(text)}; get the file again")
    if len(text) > MAX_CHARACTERS:
        raise FormatError(f"{source} has {len(text)} characters, at most {MAX_CHARACTERS} are read")
    try:
        _check_parts(text, source)
        plain = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    except (yaml.YAMLError, OmegaConfBaseException, ValueError, TypeError, ArithmeticError, AssertionError) as error:
        raise FormatError(f"{source} is damaged ({first_line(error)}); get the file again") from error
    if not isinstance(plain, dict):
        raise FormatError(f"{source} is no section of keys; get the file again")
    return {str(key): value for key, value in plain.items()}


def read_yaml_file(path: Path) -> dict[str, Any]:
    """Return the plain data of a config.yaml.

    Raises:
        FormatError: in one line, if it is no stored configuration.
        OSError: if it cannot be read.
    """
    with path.open("rb") as stream:
        content = stream.read(4 * MAX_CHARACTERS + 1)
    try:
        return from_yaml(content.decode("utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise FormatError(f"{path} is no text in UTF-8; get the file again") from error


def _check_parts(text: str, source: str) -> None:
    """Look at what the parser finds, before anything is made of it."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if count > MAX_PARTS or depth > MAX_DEPTH:
            raise FormatError(f"{source} has more than {MAX_PARTS} parts or {MAX_DEPTH} levels; it was not read")
        if isinstance(event, yaml.AliasEvent):
            raise FormatError(f"{source} holds aliases, which a stored configuration never has; it was not read")
        if getattr(event, "tag", None) is not None:
            raise FormatError(f"{source} holds YAML tags, which a stored configuration never has; it was not read")
        if isinstance(event, yaml.ScalarEvent) and INTERPOLATION in event.value:
            raise FormatError(
                f"{source} holds an interpolation ({INTERPOLATION}...), which a stored configuration never has; "
                "nothing was resolved"
            )
