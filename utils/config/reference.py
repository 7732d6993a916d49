"""Write docs/reference/configuration.md and the JSON schemas beside it: python -m utils.config.reference"""

import os
from collections.abc import Iterator
from pathlib import Path

import yaml
from pydantic.fields import FieldInfo

from utils.config.fields import Section, is_chosen, section_of, unit_of, uses_of, wording
from utils.config.help import Key, allowed_text, comments_of, groups_of, option_file, spelled, uses_text
from utils.config.job import Job
from utils.config.places import CONFIG_FOLDER, options_of, script_of
from utils.config.roots import JOBS
from utils.config.schema import FOLDER, schema_name, schemas, text_of

PAGE = CONFIG_FOLDER.parent / "docs" / "reference" / "configuration.md"
MARK = "# yaml-language-server: $schema="
HEAD = """\
# Configuration

Every key of the scripts. Change a key with `key=value`, choose from a group with `group=option`:

    python train.py dataset.name=alice model=lite trainer.steps=5000

A name or path is taken as it is typed, with blanks, brackets, commas, accents and equals signs; only the shell wants
quotes: `"run.name=Žofie (2)"`.

`null` stands for nothing. A value may follow another key: `${pretrained.batch_size}`. The environment sets keys too,
beneath the command line: `VOCLO_TRAINER__STEPS=500` is `trainer.steps=500`. `--cfg job` shows what a command line comes
to. A wrong key or value ends a script with one line and exit code 2.

This page and the schemas in [schema/](schema/), which editors use for the files in `configs/`, are made from the typed
fields in `utils/config/` by `python -m utils.config.reference`.
"""


def page_text() -> str:
    """Return the text of the page."""
    parts = [HEAD]
    told: set[str] = set()
    for name, job in JOBS.items():
        parts += [f"## {script_of(name)}\n", *_groups(job), *_sections(job, Key("", None), told)]
    return "\n".join(parts)


def with_mark(path: Path) -> str:
    """Return the text of a file in configs/ with the comment that names its schema to editors."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith(MARK)]
    name = schema_name(path)
    place = Path(os.path.relpath(FOLDER / f"{name}.json", path.parent)).as_posix()
    packages = 1 if lines and lines[0].startswith("# @package") else 0  # which Hydra reads from the first line alone
    return "\n".join([*lines[:packages], *([f"{MARK}{place}"] if name else []), *lines[packages:]]) + "\n"


def write() -> None:
    """Write the page, the schemas, and the comments in configs/ that name them."""
    PAGE.write_text(page_text(), encoding="utf-8")
    for name, schema in schemas().items():
        path = FOLDER / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text_of(schema), encoding="utf-8")
    for path in sorted(CONFIG_FOLDER.rglob("*.yaml")):
        path.write_text(with_mark(path), encoding="utf-8")


def _groups(job: type[Job]) -> Iterator[str]:
    choices = {str(name): str(choice) for name, choice in job.compose(with_hydra=True).hydra.runtime.choices.items()}
    found = groups_of(job, choices)
    if not found:
        return
    yield "| group | default | options | what it chooses |\n| --- | --- | --- | --- |"
    for name, text in found.items():
        options = ", ".join(f"`{option}`" for option in options_of(name))
        yield f"| `{name}` | `{'null' if choices[name] == 'None' else choices[name]}` | {options} | {text} |"
    yield ""


def _sections(section: type[Section], around: Key, told: set[str]) -> Iterator[str]:
    """Yield the tables of a section's keys and of the options of its groups; what two scripts share is told once."""
    path, prefix = around.path, f"{around.path}." if around.path else ""
    own = {name: field for name, field in section.model_fields.items() if not section_of(field)}
    plain = {name: field for name, field in own.items() if not is_chosen(field)}
    if plain and f"{section.__module__}.{section.__name__}" not in told:
        told.add(f"{section.__module__}.{section.__name__}")
        yield from [f"### {path}\n", f"{(section.__doc__ or '').strip()}\n"] if prefix else []
        yield "| key | default | allowed | what it is |\n| --- | --- | --- | --- |"
        yield from (_row(Key(f"{prefix}{name}", None, uses=around.uses), field) for name, field in plain.items())
        yield ""
        yield from _options(path, told)
    for name, field in section.model_fields.items():
        inner = section_of(field)
        if inner is not None:
            yield from _sections(inner, Key(f"{prefix}{name}", None, uses={**around.uses, **uses_of(field)}), told)
        elif is_chosen(field):
            options = list(_options(f"{prefix}{name}", told))
            yield from [f"### {prefix}{name}\n", *options] if options else []


def _row(key: Key, field: FieldInfo) -> str:
    default = "" if field.is_required() else f"`{spelled(_as_list(field.default))}`"
    kind, limits = wording(field.annotation), allowed_text(field)
    allowed = f"{kind}, {limits}" if limits and "|" not in limits else kind
    unit = f", in {unit_of(field)}" if unit_of(field) else ""
    said = uses_text({**key.uses, **uses_of(field)})
    uses = f"; only with `{said}`" if said else ""
    return f"| `{key.path}` | {default} | {_cell(allowed)}{unit} | {_cell(field.description or '')}{uses} |"


def _as_list(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _options(path: str, told: set[str]) -> Iterator[str]:
    """Yield the table of a group's options, with the keys that each has of its own."""
    group = path.replace(".", "/")
    if not path or group in told or not options_of(group):
        return
    told.add(group)
    yield "| option | keys and their values | what it is |\n| --- | --- | --- |"
    for option in options_of(group):
        file = option_file(group, option)
        content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        comments = comments_of(file)
        keys = [key for key in content if not key.startswith("_") and key != "defaults"]
        said = {key: f" ({_cell(comments[key])})" if key in comments else "" for key in keys}
        cells = "; ".join(f"`{path}.{key}={_cell(spelled(content[key]))}`{said[key]}" for key in keys)
        yield f"| `{group}={option}` | {cells} | {_cell(_first_comment(file))} |"
    yield ""


def _first_comment(file: Path) -> str:
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("# ")]
    said = [line[2:] for line in lines if not line.startswith((MARK, "# @package"))]
    return said[0] if said else ""


def _cell(text: str) -> str:
    return str(text).replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    write()
