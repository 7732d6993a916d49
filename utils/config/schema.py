"""JSON schemas of the files in configs/, for editors: `# yaml-language-server: $schema=...` names them.

They are made from the typed fields and from the constructors that `_target_` names. A value may always be an
interpolation such as ${audio.sample_rate}, and a file may leave out any key.
"""

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import yaml
from pydantic import PydanticSchemaGenerationError, TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema

from utils.config.fields import Section, section_of
from utils.config.places import CONFIG_FOLDER, groups_of_root
from utils.config.pluggable import PARTIAL, TARGET
from utils.config.roots import JOBS

FOLDER = CONFIG_FOLDER.parent / "docs" / "reference" / "schema"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
INTERPOLATION = {"type": "string", "pattern": r"\$\{.+\}"}
DEFAULTS = {"type": "array", "description": "what this file is built on: groups and their options, in order"}
GLOBAL_GROUPS = ("experiment", "debug")  # whose files have the keys of all of train.py
FREE_GROUPS = ("hydra",)  # whose files are Hydra's own
_ARGUMENT = re.compile(r"^ {4,}(\w+): (.+?)(?=\n {4,}\w+: |\n\s*\n|\n {0,4}\w+:\n|\Z)", re.MULTILINE | re.DOTALL)


def schemas() -> dict[str, dict[str, Any]]:
    """Return the schemas by the names of their files, without ending: one a root and one a group."""
    found = {name: _file_schema(of_section(job)) for name, job in JOBS.items()}
    for schema in found.values():
        schema["properties"]["hydra"] = {"type": "object"}
    for group in groups():
        section = section_of_group(group)
        found[_name_of_group(group)] = _file_schema(of_section(section) if section else of_targets(group))
    return found


def groups() -> list[str]:
    """Return all groups below configs/ whose files have a schema of their own."""
    folders = sorted(path.parent.relative_to(CONFIG_FOLDER).as_posix() for path in CONFIG_FOLDER.rglob("*.yaml"))
    left_out = (".", "hydra", *GLOBAL_GROUPS)
    return [name for name in dict.fromkeys(folders) if name not in left_out and not _is_shared(name)]


def schema_name(path: Path) -> str | None:
    """Return the name of the schema of a file in configs/; None for Hydra's own settings."""
    folder = path.relative_to(CONFIG_FOLDER).parent
    if str(folder) == ".":
        return path.stem
    if folder.parts[0] in GLOBAL_GROUPS:
        return "train"
    if folder.as_posix() in FREE_GROUPS:
        return None
    return _name_of_group((folder.parent if _is_shared(folder.as_posix()) else folder).as_posix())


def section_of_group(group: str) -> type[Section] | None:
    """Return the typed section that a group fills; None for one that chooses an object."""
    jobs = [job for name, job in JOBS.items() if group in groups_of_root(name)]
    fields = [job.model_fields[group] for job in jobs if group in job.model_fields]
    return section_of(fields[0]) if fields else None


def of_section(section: type[Section]) -> dict[str, Any]:
    """Return the schema of a section, every key optional."""
    schema = section.model_json_schema(ref_template="#/$defs/{model}")
    for part in (schema, *schema.get("$defs", {}).values()):
        _relax(part)
    return schema


def of_targets(group: str) -> dict[str, Any]:
    """Return the schema of a group's files from the constructors of the classes that they name."""
    targets = list(dict.fromkeys(_targets(group)))
    properties: dict[str, Any] = {TARGET: {"type": ["string", "null"]}, PARTIAL: {"type": "boolean"}}
    rules = []
    for target in targets:
        arguments = _arguments(target)
        for name, schema in arguments.items():
            known = properties.get(name, schema)
            properties[name] = schema if known == schema else {"description": schema.get("description", "")}
        names = [TARGET, PARTIAL, "defaults", *arguments]
        rules.append({
            "if": {"properties": {TARGET: {"const": target}}, "required": [TARGET]},
            "then": {"properties": arguments, "propertyNames": {"enum": names}},
        })  # fmt: skip
    return {"type": "object", "properties": properties, "additionalProperties": False} | (
        {"allOf": rules} if rules else {}
    )


def text_of(schema: dict[str, Any]) -> str:
    """Return a schema as its file holds it."""
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


def _file_schema(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "$schema": DIALECT, "properties": {"defaults": DEFAULTS, **schema["properties"]}}


def _name_of_group(group: str) -> str:
    return f"groups/{group.replace('/', '_')}"


def _is_shared(group: str) -> bool:
    """Whether a folder holds parts of files of the group above it, such as model/rvc."""
    return Path(group).name in ("rvc", "limits")


def _relax(schema: dict[str, Any]) -> None:
    """Let every key be left out or be an interpolation."""
    schema.pop("required", None)
    for name, value in schema.get("properties", {}).items():
        if "$ref" in value:
            continue
        described = {key: value.pop(key) for key in ("title", "description", "default") if key in value}
        for key in ("example", "unit", "only_with", "texts"):
            value.pop(key, None)
        described.pop("title", None)
        schema["properties"][name] = described | {"anyOf": [*value.get("anyOf", [value]), INTERPOLATION]}


def _targets(group: str) -> Iterator[str]:
    for path in sorted((CONFIG_FOLDER / group).rglob("*.yaml")):
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        if content.get(TARGET):
            yield str(content[TARGET])


def _arguments(target: str) -> dict[str, Any]:
    """Return the schemas of a constructor's arguments, with what its docstring says of each."""
    from hydra.utils import get_object

    made: Any = get_object(target)
    if inspect.isclass(made) and issubclass(made, Section):
        properties: dict[str, Any] = of_section(made)["properties"]
        return properties
    function = made.__init__ if inspect.isclass(made) else made
    hints = get_type_hints(function) if target.startswith(("models.", "utils.", "recipes.")) else {}
    said = {name: " ".join(text.split()) for name, text in _ARGUMENT.findall(inspect.getdoc(made) or "")}
    kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [item.name for item in inspect.signature(made).parameters.values() if item.kind in kinds]
    found = {}
    for name in names:
        schema = _schema_of_hint(hints.get(name))
        described = {"description": said[name]} if name in said else {}
        found[name] = described | ({"anyOf": [*schema.get("anyOf", [schema]), INTERPOLATION]} if schema else {})
    return found


def _schema_of_hint(hint: Any) -> dict[str, Any]:
    """Return the schema of a type; empty, which allows everything, for one that JSON does not have."""
    if hint is None:
        return {}
    try:
        return TypeAdapter(hint).json_schema()
    except (PydanticSchemaGenerationError, PydanticInvalidForJsonSchema):
        return {}
