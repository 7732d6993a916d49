"""Every setting of a script, found by search: the same fields that --help and the configuration reference come from."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from studio.commands import COMPOSING
from utils.config import select, to_plain
from utils.config.fields import choices_of
from utils.config.help import describe, groups_of, keys_of, spelled
from utils.config.job import Job
from utils.config.places import options_of
from utils.config.roots import JOBS


@dataclass(frozen=True)
class Setting:
    """A key or a group of a script.

    Attributes:
        key: as it is typed in front of the equals sign.
        value: its default, as it is typed.
        text: what it is, with its unit and range.
        choices: words that it may be; empty where it may be more.
        is_group: whether it chooses a file of configs/, which brings keys of its own.
    """

    key: str
    value: str
    text: str
    choices: tuple[str, ...] = ()
    is_group: bool = False


@cache
def settings_of(config_name: str, chosen: tuple[str, ...] = ()) -> tuple[Setting, ...]:
    """Return all settings of a script, its groups first.

    Args:
        config_name: root configuration, such as "train".
        chosen: overrides that decide which keys there are and what their defaults are, such as model=rvc_v2_40k.
    """
    job: type[Job] = JOBS[config_name]
    with COMPOSING:
        composed = job.compose(chosen, with_hydra=True)
        values = to_plain(job.compose(chosen))
    choices = {str(name): str(choice) for name, choice in composed.hydra.runtime.choices.items()}
    groups = [
        Setting(name, choices[name].replace("None", "null"), text, tuple(options_of(name)), is_group=True)
        for name, text in groups_of(job, choices).items()
        if not name.startswith("hydra")
    ]
    keys = [
        Setting(
            key.path,
            spelled(select(values, key.path)),
            describe(key.field, key.uses) if key.field else key.comment,
            _choices(key.field.annotation) if key.field else (),
        )
        for key in keys_of(job, values, choices)
    ]
    return (*groups, *keys)


@cache
def known_groups(config_name: str) -> frozenset[str]:
    """Return the names of the groups of a script, such as model."""
    return frozenset(item.key for item in settings_of(config_name) if item.is_group)


def found(settings: Sequence[Setting], words: str) -> list[Setting]:
    """Return the settings in whose key or text all words are; those with all of them in the key first."""
    wanted = words.lower().split()
    hits = [item for item in settings if all(word in f"{item.key} {item.text}".lower() for word in wanted)]
    return sorted(hits, key=lambda item: not all(word in item.key.lower() for word in wanted))


def _choices(annotation: Any) -> tuple[str, ...]:
    if annotation is bool:
        return ("true", "false")
    return tuple(choices_of(annotation))
