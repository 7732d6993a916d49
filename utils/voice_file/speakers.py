"""The voices inside a graph."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from utils.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Speaker:
    """One voice inside a graph; `f0_median_hz` is 0 when it is not known."""

    id: int
    name: str
    f0_median_hz: float


def speaker_number(wanted: Any, names: Sequence[str], key: str, place: str) -> int:
    """Return the speaker_id that a user means: a name, or a number where no other speaker has that for a name.

    Args:
        wanted: a text is a name; what was typed as a number is a name first.
        names: of the speakers; the index is the speaker_id.
        key: setting for messages.
        place: where the names come from, for messages.
    Raises:
        ConfigError: if there is none, or a number is one speaker's name and another's number.
    """
    by_name = names.index(str(wanted)) if not isinstance(wanted, bool) and str(wanted) in names else None
    is_number = isinstance(wanted, int) and not isinstance(wanted, bool) and 0 <= wanted < len(names)
    if by_name is not None and is_number and by_name != wanted:
        raise ConfigError(
            f"{key}={wanted} is the name of speaker {by_name} and the number of speaker {names[wanted]!r}; type the "
            f"name in quotes: {key}=\"'{wanted}'\" or {key}=\"'{names[wanted]}'\""
        )
    if by_name is not None:
        return by_name
    if is_number:
        return int(wanted)
    shown = [f"{index} {name}" for index, name in enumerate(names[:10])] + ["..."] * (len(names) > 10)
    raise ConfigError(f"{key}={wanted!r} is not in {place}; it has: {', '.join(shown) or 'no names'}")
