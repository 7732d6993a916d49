"""The pinned packages: how the file looks and whether it covers what the project imports."""

import ast
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.lock", "requirements-demo.lock", "requirements-evaluation.lock")
OWN = {"utils", "models", "benchmarks", "tests", "hydra_plugins", "recipes", "scripts"}
# what a user may have: content encoders and pitch trackers of others, the extras of pyproject.toml
OPTIONAL = {"transformers", "torchfcpe", "torchcrepe", "optuna", "submitit"}


def extras() -> dict[str, list[str]]:
    with (ROOT / "pyproject.toml").open("rb") as stream:
        found: dict[str, list[str]] = tomllib.load(stream)["project"]["optional-dependencies"]
    return found


def lines_of(name: str) -> list[str]:
    return (ROOT / name).read_text(encoding="utf-8").splitlines()


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(*names: str) -> dict[str, str]:
    return {normalized(line.split("==")[0]): line.split("==")[1] for name in names for line in lines_of(name)}


def imported_packages() -> set[str]:
    folders = ("utils", "models", "benchmarks", "recipes", "scripts", "tests", "hydra_plugins")
    files = [*ROOT.glob("*.py"), *(path for folder in folders for path in (ROOT / folder).rglob("*.py"))]
    found: set[str] = set()
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.split(".")[0])
    return found - OWN - set(sys.stdlib_module_names) - {path.stem for path in ROOT.glob("*.py")}


@pytest.mark.parametrize("name", LOCKS)
def test_lock_holds_only_name_and_version(name: str) -> None:
    for line in lines_of(name):
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9._+!-]*", line), f"{name}: {line!r}"


@pytest.mark.parametrize("name", LOCKS)
def test_lock_names_each_package_once(name: str) -> None:
    names = [normalized(line.split("==")[0]) for line in lines_of(name)]

    assert len(names) == len(set(names))


def test_locks_do_not_contradict_each_other() -> None:
    base = pins("requirements.lock")

    assert not base.keys() & pins("requirements-demo.lock", "requirements-evaluation.lock").keys()


def test_framework_versions_are_those_the_code_was_measured_with() -> None:
    base = pins("requirements.lock")

    assert base["torch"].startswith("2.11.")
    assert base["torchaudio"].startswith("2.11.")  # its binary fits one torch only
    assert base["pytorch-lightning"].startswith("2.6.")
    assert base["hydra-core"].startswith("1.3.")
    assert int(base["setuptools"].split(".")[0]) < 81  # pyworld and webrtcvad import pkg_resources


def test_every_imported_package_is_pinned() -> None:
    known = pins(*LOCKS)
    distributions = importlib.metadata.packages_distributions()

    absent = {}
    for package in imported_packages() - OPTIONAL:
        owners = {normalized(name) for name in distributions.get(package, [package])}
        if not owners & known.keys() and not {normalized(package), normalized(f"{package}-tts")} & known.keys():
            absent[package] = sorted(owners)

    assert not absent, f"imported but in no lock file: {absent}"


def test_every_dependency_of_a_pinned_package_is_pinned() -> None:
    base = pins("requirements.lock")
    for name in base:
        try:
            requirements = importlib.metadata.distribution(name).requires or []
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"{name} is not installed here; the lock was installed partly")
        for requirement in requirements:
            if ";" not in requirement:  # markers and extras depend on the machine
                dependency = normalized(re.split(r"[\s<>=!~\[(]", requirement, maxsplit=1)[0])
                assert dependency in base, f"{name} needs {dependency}"


def test_each_pitch_tracker_that_a_user_brings_is_an_extra_of_the_version_that_its_message_names() -> None:
    named = set(re.findall(r'"(torch\w+==[\d.]+)"', (ROOT / "utils/features/pitch/external.py").read_text("utf-8")))

    assert named == set(extras()["crepe"] + extras()["fcpe"])
    assert len(named) == 2
