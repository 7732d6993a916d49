"""What `--help` shows: usage, groups with their options, and every key with value, range and meaning."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from pydantic.fields import FieldInfo

from utils.config.composing import select, to_plain
from utils.config.fields import Section, Uses, allowed_range, choices_of, is_chosen, section_of, shown, unit_of, uses_of
from utils.config.job import Job
from utils.config.places import CONFIG_FOLDER, options_of

GROUPS = {  # of which no field speaks
    "experiment": "several groups and keys at once",
    "debug": "a short training that looks for a fault",
    "hydra/launcher": "where the runs of a sweep are computed",
    "hydra/sweeper": "how the values of a sweep are chosen",
}
WIDTH = 58  # of key=value
_COMMENTED = re.compile(r"^\s*(?P<key>\w+):(?:\s[^#]*?)?\s+#\s+(?P<comment>.+)$")


class Key(NamedTuple):
    """A key of a script.

    Attributes:
        path: with dots.
        field: its field; None for an argument of an object that a group chooses.
        comment: what the group's file says of an argument.
        uses: where it has an effect, also by the sections around it.
    """

    path: str
    field: FieldInfo | None
    comment: str = ""
    uses: Uses = MappingProxyType({})


def help_text(job_type: type[Job], overrides: Sequence[str]) -> str:
    """Return the help of a script; keys have the values that these overrides give them.

    Raises:
        ConfigError: if an override names an unknown key or option.
    """
    config = job_type.compose(overrides, with_hydra=True)
    choices = {str(name): str(choice) for name, choice in config.hydra.runtime.choices.items()}
    values = to_plain(job_type.compose(overrides))
    lines = [job_type.usage, "", "Groups (choose with group=option; * is chosen):"]
    lines += list(_group_lines(job_type, choices))
    lines += ["", "Keys and their values (change with key=value):"]
    lines += list(_key_lines(job_type, values, choices))
    lines += ["", "Hydra's own options: --hydra-help. The version: --version.", ""]
    return "\n".join(lines)


def groups_of(job_type: type[Job], choices: dict[str, str]) -> dict[str, str]:
    """Return the groups of a script with their descriptions, those of its fields first."""
    found: dict[str, str] = {}
    for path, field in _chosen_or_section(job_type, ""):
        group = path.replace(".", "/")
        section = section_of(field)
        text = (section.__doc__ or "").partition(":")[2].strip().rstrip(".") if section else field.description
        found |= {group: text or ""} if group in choices else {}
    return found | {name: text for name, text in GROUPS.items() if name in choices}


def option_file(group: str, option: str) -> Path:
    """Return the file of an option."""
    return CONFIG_FOLDER / group / f"{option}.yaml"


def comments_of(path: Path) -> dict[str, str]:
    """Return key -> what a YAML file says behind it."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return {match["key"]: match["comment"] for line in lines if (match := _COMMENTED.match(line))}


def keys_of(job_type: type[Job], values: dict[str, Any], choices: dict[str, str]) -> Iterator[Key]:
    """Yield every key of a script: those of its fields, and the arguments of the objects that groups choose."""
    yield from _keys_of_section(job_type, Key("", None), values, choices)


def describe(field: FieldInfo, uses_of_field: Uses) -> str:
    """Return what a field means, its unit, what is allowed and where it has an effect."""
    unit, uses = unit_of(field), uses_text(uses_of_field)
    facts = [f"in {unit}" if unit else "", allowed_text(field), f"only with {uses}" if uses else ""]
    shown_facts = "; ".join(fact for fact in facts if fact)
    return f"{field.description} ({shown_facts})" if shown_facts else str(field.description)


def allowed_text(field: FieldInfo) -> str:
    """Return what values a field may have, where its kind alone does not say it."""
    choices = choices_of(field.annotation)
    return " | ".join(choices) if choices else allowed_range(field)


def uses_text(uses: Uses) -> str:
    """Return uses of a script, such as "export=onnx, wokada and run="; empty for all."""
    return " and ".join(_joined(effective) for effective in uses.values())


def _joined(uses: Sequence[str]) -> str:
    """Return a list of uses; what several begin with is said once."""
    start = f"{uses[0].partition('=')[0]}="
    return ", ".join([uses[0], *(use.removeprefix(start) for use in uses[1:])])


def _group_lines(job_type: type[Job], choices: dict[str, str]) -> Iterator[str]:
    for name, text in groups_of(job_type, choices).items():
        options = [f"{option}*" if option == choices[name] else option for option in options_of(name)]
        yield f"  {name}: {text}"
        yield f"    {' '.join(options)}"


def _key_lines(job_type: type[Job], values: dict[str, Any], choices: dict[str, str]) -> Iterator[str]:
    before = ""
    for key in keys_of(job_type, values, choices):
        section = key.path.rpartition(".")[0].partition(".")[0]
        if section != before:
            yield ""
            before = section
        text = describe(key.field, key.uses) if key.field else key.comment
        typed = f"  {key.path}={spelled(select(values, key.path))}"
        yield f"{typed:<{WIDTH}} {text}".rstrip()


def _chosen_or_section(section: type[Section], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    for name, field in section.model_fields.items():
        inner = section_of(field)
        if inner is not None or is_chosen(field):
            yield f"{prefix}{name}", field
        if inner is not None:
            yield from _chosen_or_section(inner, f"{prefix}{name}.")


def _keys_of_section(
    section: type[Section], around: Key, values: dict[str, Any], choices: dict[str, str]
) -> Iterator[Key]:
    for name, field in section.model_fields.items():
        path, inner = f"{around.path}.{name}".lstrip("."), section_of(field)
        uses = {**around.uses, **uses_of(field)}
        if inner is not None:
            yield from _keys_of_section(inner, Key(path, None, uses=uses), values, choices)
        elif is_chosen(field):
            group = path.replace(".", "/")
            comments = comments_of(option_file(group, choices.get(group, "")))
            node = select(values, path, {})
            yield from (Key(f"{path}.{key}", None, comments.get(key, "")) for key in node if not key.startswith("_"))
        else:
            yield Key(path, field, uses=uses)


def spelled(value: Any) -> str:
    """Return a value as a user types it behind key=."""
    if isinstance(value, list):
        return f"[{','.join(spelled(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {spelled(item)}' for key, item in value.items())}}}"
    return shown(value)
