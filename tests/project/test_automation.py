"""The files by which others check, build and set up the project agree with the Makefile, the locks and README."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", read("Makefile"), re.MULTILINE))


def make_calls(text: str) -> set[str]:
    calls = re.findall(r"^(?: *|RUN )make ([a-z][a-z-]+(?: [a-z][a-z-]+)*)(?= *(?:$|[#A-Z&-]))", text, re.MULTILINE)
    return {target for call in calls for target in call.split()}


def pins() -> dict[str, str]:
    return dict(line.split(" ")[0].split("==") for line in read("requirements.lock").splitlines())


def workflow() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(read(".github/workflows/tests.yml"))
    return found


@pytest.mark.parametrize("name", [".ci/run", "Dockerfile", "README.md", "CONTRIBUTING.md"])
def test_every_target_that_is_called_exists(name: str) -> None:
    if not (ROOT / name).is_file():
        pytest.skip(f"no {name}")

    assert make_calls(read(name)) <= targets()


def test_every_change_is_checked_by_all_tests_and_the_smoke_run() -> None:
    assert make_calls(read(".ci/run")) >= {"check", "test-all", "smoke"}


def test_hooks_use_the_versions_of_the_lock() -> None:
    (local,) = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]

    hooks = [pin.split("==") for hook in local["hooks"] for pin in hook["additional_dependencies"]]

    assert {name for name, _ in hooks} == {"ruff", "codespell"}
    assert {name: pins()[name] for name, _ in hooks} == dict(hooks)


def test_hosted_tests_run_on_three_systems_what_make_check_and_make_test_run() -> None:
    job = workflow()["jobs"]["fast"]
    commands = "\n".join(step["run"] for step in job["steps"] if "run" in step)

    systems = {name.partition("-")[0] for name in job["strategy"]["matrix"]["os"]}
    ours = re.findall(r"^\t\$\(BIN\)/(python -m (?:ruff|mypy).*|codespell)$", read("Makefile"), re.MULTILINE)

    assert systems == {"ubuntu", "windows", "macos"}
    assert len(ours) == 4
    assert all(command in commands for command in ours)
    assert 'pytest -m "not slow"' in commands


def test_hosted_slow_tests_are_those_of_every_change() -> None:
    assert workflow()["jobs"]["slow"]["steps"][-1]["run"] == ".ci/run"


def test_image_is_set_up_like_readme_says() -> None:
    lines = read("Dockerfile").splitlines()
    copied = [line for line in lines if line.startswith("COPY ")]

    assert "RUN make venv" in lines
    assert "make venv" in read("README.md")
    assert {"make", "python3", "python3-venv"} <= set(re.findall(r"[a-z0-9-]+", read("Dockerfile")))
    assert lines[lines.index(next(line for line in lines if line.startswith("FROM "))) - 1].startswith("ARG BASE=")
    for name in copied[0].split()[1:-1]:
        assert (ROOT / name).is_file()


def test_image_takes_nothing_that_git_ignores() -> None:
    ignored = {line.strip("/*") for line in read(".gitignore").splitlines() if line.startswith("/")}
    left_out = {line.strip("/*") for line in read(".dockerignore").splitlines()}

    assert ignored <= left_out
    assert ".venv" in left_out
