"""Read the documents as tests need them: pages, links, anchors, figures, commands and keys."""

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import yaml

from scripts.readme import command_lines
from utils.config.fields import Section, section_of
from utils.config.roots import JOBS

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs"
_FENCE = re.compile(r"^(```)(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")
_LINK = re.compile(r"\[(?:[^\]]*)\]\(([^)\s]+)\)")


class Link(NamedTuple):
    """A link of a page: the file that it names and the anchor inside, each empty where it has none."""

    path: str
    anchor: str


@cache
def pages() -> list[Path]:
    """Return every Markdown file of the project, relative to its root."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return sorted(Path(line) for line in listed.stdout.splitlines() if (ROOT / line).is_file())


def read(page: Path | str) -> str:
    """Return the text of a page."""
    return (ROOT / page).read_text(encoding="utf-8")


def without_code(text: str) -> str:
    """Return a text without fenced and indented blocks and without inline code."""
    text = _FENCE.sub("", text)
    lines = [line for line in text.splitlines() if not line.startswith("    ")]
    return _SPAN.sub("", "\n".join(lines))


def links_of(text: str) -> list[Link]:
    """Return the links inside the project."""
    targets = [target for target in _LINK.findall(_FENCE.sub("", text)) if "://" not in target]
    return [Link(*target.partition("#")[::2]) for target in targets]


def anchors_of(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", _FENCE.sub("", text), re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        number = 0
        while (name := f"{slug}-{number}" if number else slug) in found:
            number += 1
        found.add(name)
    return found


def paragraphs(text: str) -> Iterator[str]:
    """Yield paragraphs and list items; a table is one paragraph."""
    for block in re.split(r"\n\s*\n", _FENCE.sub("", text)):
        yield from re.split(r"\n(?=[*-] |\d+\. )", block)


def commands_of(text: str) -> list[str]:
    """Return the commands that a page shows: fenced `sh`, indented by four spaces, or inline."""
    blocks = [match[2] for match in _FENCE.findall(text) if match[1] in ("sh", "bash")]
    rest = _FENCE.sub("", text)
    blocks += ["\n".join(line for line in rest.splitlines() if line.startswith("    "))]
    blocks += [span.replace("\n", " ") for span in _SPAN.findall(rest)]
    starts = ("python ", "make ", "torchrun ", "sbatch ", "pip install ")
    return [line for block in blocks for line in command_lines(block) if line.startswith(starts)]


def spans_of(text: str) -> list[str]:
    """Return the pieces of inline code."""
    return [span.replace("\n", " ") for span in _SPAN.findall(_FENCE.sub("", text))]


def dotted_keys(content: object, prefix: str = "") -> set[str]:
    """Return every dotted key of a nested mapping."""
    keys: set[str] = set()
    for key, value in content.items() if isinstance(content, dict) else ():
        keys |= {f"{prefix}{key}"} | dotted_keys(value, f"{prefix}{key}.")
    return keys


def keys_of_section(section: type[Section], prefix: str = "") -> set[str]:
    """Return every dotted key of a typed section."""
    keys: set[str] = set()
    for name, field in section.model_fields.items():
        inner = section_of(field)
        keys |= {f"{prefix}{name}"} | (keys_of_section(inner, f"{prefix}{name}.") if inner else set())
    return keys


@cache
def known_keys() -> frozenset[str]:
    """Return every dotted key of the scripts and recipes, under the name by which it is typed."""
    keys = {key for job in JOBS.values() for key in keys_of_section(job)}
    for path in CONFIGS.rglob("*.yaml"):
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        content.pop("defaults", None)
        group = path.parent.relative_to(CONFIGS).parts
        is_global = not group or group[0] == "experiment" or group[-1] in ("limits", "rvc", "sovits")
        keys |= dotted_keys(content, "" if is_global else ".".join(group) + ".")
        if group and group[-1] in ("limits", "rvc", "sovits"):
            keys |= dotted_keys(content, f"{group[0]}.")
    return frozenset(
        keys.union(*(recipe_keys(path.parent.name) for path in (ROOT / "recipes").glob("*/settings.yaml")))
    )


@cache
def recipe_keys(recipe: str) -> frozenset[str]:
    """Return every dotted key of python -m recipes.<recipe>."""
    text = (ROOT / "recipes" / recipe / "settings.yaml").read_text(encoding="utf-8")
    return frozenset(dotted_keys(yaml.safe_load(text)))


def is_group(key: str) -> bool:
    """Whether a key names a configuration group, such as model or optim/schedule."""
    return (CONFIGS / key).is_dir()


def options_of(group: str) -> set[str]:
    """Return the options of a group."""
    return {path.stem for path in (CONFIGS / group).glob("*.yaml")}


@cache
def option_texts(path: Path) -> str:
    """Return the source of a program and of our modules that it imports, in which its --options must stand."""
    source = path.read_text(encoding="utf-8")
    texts = [source]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            other = ROOT / (node.module.replace(".", "/") + ".py")
            texts += [other.read_text(encoding="utf-8")] if other.is_file() else []
    return "\n".join(texts)


def program_of(module: str) -> Path | None:
    """Return the file of `python -m module`, or None for a module that is not ours."""
    if module.split(".")[0] not in ("benchmarks", "recipes", "scripts", "studio", "utils"):
        return None
    path = ROOT / module.replace(".", "/")
    return path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__main__.py"
