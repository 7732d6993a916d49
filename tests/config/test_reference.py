"""The page of all keys and the schemas for editors are those of the fields; every file in configs/ fits its schema."""

from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from utils.config.places import CONFIG_FOLDER
from utils.config.reference import MARK, PAGE, page_text, with_mark
from utils.config.schema import FOLDER, schema_name, schemas, text_of

FILES = sorted(CONFIG_FOLDER.rglob("*.yaml"))
WRITE = "type: python -m utils.config.reference"


@cache
def made() -> dict[str, dict[str, Any]]:
    return schemas()


def faults(name: str, content: object) -> list[str]:
    return [error.message for error in jsonschema.Draft202012Validator(made()[name]).iter_errors(content)]


@pytest.mark.slow
def test_page_is_that_of_the_fields() -> None:
    assert PAGE.read_text(encoding="utf-8") == page_text(), WRITE


def test_schemas_are_those_of_the_fields() -> None:
    stored = {path.relative_to(FOLDER).with_suffix("").as_posix(): path for path in FOLDER.rglob("*.json")}

    assert set(stored) == set(made()), WRITE
    for name, path in stored.items():
        assert path.read_text(encoding="utf-8") == text_of(made()[name]), f"{name}: {WRITE}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CONFIG_FOLDER)))
def test_file_names_its_schema_and_fits_it(path: Path) -> None:
    text, name = path.read_text(encoding="utf-8"), schema_name(path)

    assert text == with_mark(path), WRITE
    if name is not None:
        (line,) = [line for line in text.splitlines() if line.startswith(MARK)]
        assert (path.parent / line.removeprefix(MARK)).resolve() == FOLDER / f"{name}.json"
        assert faults(name, yaml.safe_load(text) or {}) == []


@pytest.mark.parametrize("path", [path for path in FILES if "@package" in path.read_text(encoding="utf-8")], ids=str)
def test_package_stands_in_the_first_line_where_hydra_looks_for_it(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("# @package ")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train", {"trainer": {"step": 3}}),
        ("train", {"data": {"batch_size": 0}}),
        ("train", {"data": {"batch_size": "many"}}),
        ("groups/trainer", {"precision": "8"}),
        ("groups/audio", {"sample_rate": "24k"}),
        ("groups/model", {"_target_": "models.lite.LiteVoice", "chans": 3}),
        ("groups/model", {"_target_": "models.lite.LiteVoice", "channels": "wide"}),
        ("groups/model", {"_target_": "models.toy.ToyVoice", "num_blocks": 3}),
        ("groups/optim_schedule", {"_target_": "utils.training.schedules.HalfLife", "half_life_steps": 0}),
        ("export", {"export": {"opset": 30}}),
    ],
)
def test_schema_finds_a_mistake(name: str, content: dict[str, Any]) -> None:
    assert faults(name, content)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train", {"data": {"batch_size": "${pretrained.batch_size}", "segment_frames": None}}),
        ("groups/model", {"_target_": "models.lite.LiteVoice", "channels": 64, "sample_rate": "${audio.sample_rate}"}),
        ("groups/audio", {"f_max": 8000}),
    ],
)
def test_schema_takes_interpolations_and_parts(name: str, content: dict[str, Any]) -> None:
    assert faults(name, content) == []


def test_schema_says_what_a_key_is() -> None:
    steps = made()["groups/trainer"]["properties"]["steps"]

    assert (steps["description"], steps["default"]) == ("generator updates", 20000)
    assert made()["groups/model"]["properties"]["channels"]["description"]
