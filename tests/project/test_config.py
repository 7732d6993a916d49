"""Every key of every configuration file is read by something."""

import importlib
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.tools.document_tools import keys_of_section
from utils.config.roots import JOBS

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))
HYDRA = ROOT / "configs" / "hydra" / "default.yaml"
HYDRA_KEYS = {"defaults", "hydra"}
TARGET_KEYS = {"_target_", "_partial_", "_recursive_", "_convert_"}


@cache
def project_text() -> str:
    """All code that may read a key."""
    declared = {f"{name}.py" for name in ("audio", *JOBS)}
    files = [
        *ROOT.glob("*.py"),
        *(path for path in (ROOT / "utils").rglob("*.py") if path.parent.name != "config" or path.name not in declared),
        *(ROOT / "models").rglob("*.py"),
        *(ROOT / "recipes").rglob("*.py"),
    ]
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


@cache
def interpolations() -> str:
    return " ".join(re.findall(r"\$\{([^}]*)\}", "\n".join(path.read_text(encoding="utf-8") for path in CONFIGS)))


def leaves(node: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (dotted key, the mapping it stands in) of every value; mappings inside mappings are walked."""
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", node


def is_parameter(node: dict[str, Any], key: str) -> bool:
    module, _, name = str(node["_target_"]).rpartition(".")
    target = getattr(importlib.import_module(module), name)
    return key in inspect.signature(target).parameters


def is_read(key: str) -> bool:
    name = re.escape(key.rsplit(".", 1)[-1])
    in_code = re.search(rf"(?<![\w]){re.escape(key)}(?!\w)|\.{name}\b|[\"']{name}[\"']|\b{name}:", project_text())
    return bool(in_code) or bool(re.search(rf"\b{name}\b", interpolations()))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: str(path.relative_to(ROOT / "configs")))
def test_no_dead_key(path: Path) -> None:
    content = yaml.safe_load(path.read_text(encoding="utf-8")) or {} if path != HYDRA else {}

    dead = []
    for key, node in leaves({name: value for name, value in content.items() if name not in HYDRA_KEYS}):
        name = key.rsplit(".", 1)[-1]
        if name in TARGET_KEYS:
            continue
        used = is_parameter(node, name) if "_target_" in node else is_read(key)
        if not used:
            dead.append(key)

    assert not dead, f"{path.name}: nothing reads {dead}"


@pytest.mark.slow
@pytest.mark.parametrize("name", JOBS)
def test_every_field_is_read(name: str) -> None:
    assert not [key for key in sorted(keys_of_section(JOBS[name])) if not is_read(key)]


def test_the_check_finds_a_dead_key() -> None:
    assert not is_read("section.a_key_that_nobody_has_ever_read")
    assert is_read("audio.sample_rate")
