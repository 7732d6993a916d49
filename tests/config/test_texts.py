"""Keys whose value is one text or path take it as it is typed, in every script."""

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import get_object
from hypothesis import given, settings
from hypothesis import strategies as some

from utils.config import run_script, select
from utils.config.arguments import quoted, spell
from utils.config.environment import single_runs
from utils.config.fields import fields_of, is_chosen, text_keys
from utils.config.job import Job
from utils.config.places import CONFIG_FOLDER
from utils.config.pluggable import TARGET
from utils.config.preprocess import preprocess_job
from utils.config.roots import JOBS
from utils.config.train import train_job
from utils.errors import ConfigError

NAMES = ("録音", "Žofie (2), the second", "it's a=b", "2024_06_01")
PATHS = (
    "/data/My songs (2)/Modèles", "a,b/c=d [old] {x: y}", "it's \"mine\"/100 %/C\\d", "CC BY-SA 4.0 (see LICENSE)",
)  # fmt: skip
FOLDERS = {"dataset.name", "run.name", "name"}


def word_of(job: type[Job], key: str, value: str) -> str:
    """What somebody types; a key of an object that a group chooses is added where the chosen option has none."""
    typed = {long: short for short, long in job.short_keys.items()}.get(key, key)
    is_of_object = any(key.startswith(f"{path}.") for path, field in fields_of(job) if is_chosen(field))
    return f"{'++' if is_of_object else ''}{typed}={value}"


@pytest.mark.parametrize("config_name", JOBS)
@pytest.mark.parametrize("number", range(len(NAMES)))
def test_every_text_key_takes_what_is_typed(config_name: str, number: int) -> None:
    job = JOBS[config_name]
    wanted = {key: NAMES[number] if key in FOLDERS else PATHS[number] for key, _ in text_keys(job)}

    plain: Any = job.compose(job.spell([word_of(job, key, value) for key, value in wanted.items()]))

    assert {key: select(plain, key) for key in wanted} == wanted


def test_every_key_for_a_text_or_path_says_so() -> None:
    """A key that lacks the property would be read in Hydra's grammar; these alone may be something else."""
    mixed = {"devices", "exclude", "trust", "speakers", "speaker_weights", "weights"}
    for job in JOBS.values():
        texts = {key for key, _ in text_keys(job)}
        for key, field in fields_of(job):
            annotation = str(field.annotation)
            is_text = ("str" in annotation or "Path" in annotation) and not re.search(r"Literal|[Tt]uple", annotation)
            assert not is_text or key in texts or key.rpartition(".")[2] in mixed, key


def arguments_of_options(group: str) -> Iterator[tuple[str, Any]]:
    for path in (CONFIG_FOLDER / group).glob("*.yaml"):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        for key, value in content.items():
            if not key.startswith("_") and key != "defaults":
                yield key, value
        target = content.get(TARGET)
        if target and target.startswith("utils."):
            for parameter in inspect.signature(get_object(target)).parameters.values():
                if "str" in str(parameter.annotation) or "Path" in str(parameter.annotation):
                    yield parameter.name, ""


@pytest.mark.parametrize(
    ("config_name", "group"), [("preprocess", "content"), ("preprocess", "pitch"), ("train", "logger")]
)
def test_every_text_of_an_object_that_a_group_chooses_is_declared(config_name: str, group: str) -> None:
    texts = {key for key, _ in text_keys(JOBS[config_name])}

    for key, value in arguments_of_options(group):
        assert not isinstance(value, str) or f"{group}.{key}" in texts, key


@pytest.mark.slow
@settings(derandomize=True, max_examples=150, deadline=None, database=None)
@given(some.text(some.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30))
def test_any_text_reaches_hydra_whole(value: str) -> None:
    (word,) = spell([f"run.name={value}"], ["run.name"])

    (read,) = OverridesParser.create().parse_overrides([word])
    found = read.value()
    is_in_quotes = value[0] == value[-1] and value[0] in "'\"" and len(value) > 1
    assert is_in_quotes or value == "null" or found == value
    assert spell([word], ["run.name"]) == [word]


@pytest.mark.parametrize("text", ["it's", "a\\", "a\\\\", "\\'", "\\\\'x'", "'", '"', "a\\'b\\"])
def test_quotes_hold_quotes_and_backslashes(text: str) -> None:
    (read,) = OverridesParser.create().parse_overrides([f"key={quoted(text)}"])

    assert read.value() == text


def test_a_text_may_follow_another_key() -> None:
    assert train_job(["dataset.name=x", "run.name=a (${seed})"]).run.name == "a (1234)"
    with pytest.raises(
        ConfigError, match=r"^run.name=\$\{sed\} cannot be read: there is no key sed; did you mean seed\?$"
    ):
        train_job(["dataset.name=x", "run.name=${sed}"])


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        ("a,b", ["a", "b"]),
        ("a (1,2),b", ["a (1,2)", "b"]),
        ("'a,b',c", ["a,b", "c"]),
        ("one, two", ["one, two"]),
        ("2024_06_01,7", ["2024_06_01", "7"]),
        ("choice(a,b)", ["a", "b"]),
        ("it's,b", ["it's", "b"]),
        ("a,", ["a,"]),
    ],
)
def test_in_a_sweep_a_comma_separates_where_no_blank_is_behind_it(typed: str, names: list[str]) -> None:
    (word,) = spell([f"run.name={typed}"], ["run.name"], is_sweep=True)

    runs = single_runs([word])

    parser = OverridesParser.create()
    assert [parser.parse_overrides(run)[0].value() for run in runs] == names
    assert spell([f"run.name={typed}"], ["run.name"]) == [f"run.name={quoted(typed)}"] or typed[0] == "'"


@pytest.mark.slow
def test_a_sweep_reaches_each_run_as_it_was_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    words = ["-m", "run.name=a (1,2),it's", "dataset.name=a, b", f"hydra.sweep.dir={tmp_path}"]
    monkeypatch.setattr(sys, "argv", ["train.py", *words])

    run_script(JOBS["train"], seen.append)

    assert [(job.dataset.name, job.run.name) for job in seen] == [("a, b", "a (1,2)"), ("a, b", "it's")]


def test_a_speaker_may_be_a_number() -> None:
    kinds = {"speaker=0": 0, "speaker=-1": -1, "speaker=1_0": "1_0", "speaker='7'": "7", "speaker=2.5": "2.5"}

    for word, value in kinds.items():
        assert JOBS["test_model"].from_overrides([word]).speaker == value  # type: ignore[attr-defined]


def test_bytes_that_are_no_utf_8_stand_in_paths_alone() -> None:
    given = preprocess_job(["dataset.source=/caf\udce9", "dataset.name=x"])

    assert given.source == Path("/caf\udce9")
    for word in ("dataset.name=caf\udce9", "run.name=caf\udce9"):
        with pytest.raises(ConfigError, match="has bytes that are no UTF-8; type it in a terminal with that encoding"):
            train_job(["dataset.name=x", word] if word.startswith("run") else [word])
