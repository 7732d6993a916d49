"""The pinned packages: how the files look and whether they cover what the project imports, on every system."""

import ast
import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
BASE, DEMO, EVALUATION, INFERENCE, NOTEBOOK, STUDIO = (
    f"requirements{part}.lock" for part in ("", "-demo", "-evaluation", "-inference", "-notebook", "-studio")
)
LOCKS = (BASE, DEMO, EVALUATION, INFERENCE, NOTEBOOK, STUDIO)
OWN = {"utils", "models", "benchmarks", "tests", "hydra_plugins", "recipes", "scripts", "studio"}
# what a user may have: content encoders and pitch trackers of others, the extras of pyproject.toml
OPTIONAL = {
    "transformers", "torchfcpe", "torchcrepe", "optuna", "submitit", "playwright", "sounddevice", "piper", "pysubs2",
    "pyloudnorm", "pedalboard",
}  # fmt: skip
# of the programs whose checkouts benchmarks/interop.py is given
OF_OTHER_PROGRAMS = {"data", "infer", "inference", "rvc", "rvc_next", "voice_changer"}
# modules of packages with another name, where the package is not installed
PACKAGE_OF = {"hibari": "hibari-tts", "pyworld": "pyworld-prebuilt"}
VERSIONS = ("3.11", "3.12", "3.13", "3.14")  # of Python
SYSTEMS = {"linux": "Linux", "win32": "Windows", "darwin": "Darwin"}  # sys_platform -> platform_system
# their files have to be compiled while they are installed; the same modules come as wheels of another name
COMPILED = {"pyworld", "webrtcvad"}
TOO_HEAVY = {
    "torch",
    "torchaudio",
    "pytorch-lightning",
    "scipy",
    "librosa",
    "numba",
    "scikit-learn",
    "onnx",
    "faiss-cpu",
}


def extras() -> dict[str, list[str]]:
    with (ROOT / "pyproject.toml").open("rb") as stream:
        found: dict[str, list[str]] = tomllib.load(stream)["project"]["optional-dependencies"]
    return found


def lines_of(name: str) -> list[str]:
    return (ROOT / name).read_text(encoding="utf-8").splitlines()


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def environment_of(system: str, version: str) -> dict[str, str]:
    os_name = "nt" if system == "win32" else "posix"
    return {
        "sys_platform": system, "platform_system": SYSTEMS[system], "os_name": os_name, "python_version": version,
        "python_full_version": f"{version}.0", "extra": "",
    }  # fmt: skip


def pins(*names: str, system: str | None = None, version: str = "3.11") -> dict[str, str]:
    """Return version by package of some locks; of one system and version of Python only where a system is given."""
    found = {}
    for requirement in (Requirement(line) for name in names for line in lines_of(name)):
        marker = requirement.marker
        if system is None or marker is None or marker.evaluate(environment_of(system, version)):
            found[normalized(requirement.name)] = str(requirement.specifier).removeprefix("==")
    return found


def imported_packages() -> set[str]:
    folders = ("utils", "models", "benchmarks", "recipes", "scripts", "tests", "hydra_plugins", "studio")
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
def test_lock_holds_only_name_version_and_where_it_is_needed(name: str) -> None:
    where = r'sys_platform == "(linux|win32|darwin)"|python_version >= "3\.\d\d"'
    pin = r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9._+!-]*"
    for line in lines_of(name):
        assert re.fullmatch(rf"{pin}( ; ({where}))?", line), f"{name}: {line!r}"


@pytest.mark.parametrize("name", LOCKS)
def test_lock_names_each_package_once(name: str) -> None:
    names = [normalized(line.split("==")[0]) for line in lines_of(name)]

    assert len(names) == len(set(names))


def test_locks_do_not_contradict_each_other() -> None:
    assert not pins(BASE).keys() & pins(DEMO, EVALUATION, NOTEBOOK, STUDIO).keys()
    demo, evaluation = pins(DEMO), pins(EVALUATION)
    assert {name: demo[name] for name in demo.keys() & evaluation} == {
        name: evaluation[name] for name in demo.keys() & evaluation
    }


def test_what_a_gpu_needs_is_installed_on_linux_alone() -> None:
    gpu = {name for name in pins(BASE) if name.startswith(("nvidia-", "cuda-")) or name == "triton"}

    for system in SYSTEMS:
        assert gpu & pins(BASE, system=system).keys() == (gpu if system == "linux" else set())
    assert len(gpu) > 10


@pytest.mark.parametrize("name", LOCKS)
def test_nothing_needs_a_c_compiler(name: str) -> None:
    assert not COMPILED & pins(name).keys()


def test_framework_versions_are_those_the_code_was_measured_with() -> None:
    base = pins(BASE)

    assert base["torch"].startswith("2.11.")
    assert base["torchaudio"].startswith("2.11.")  # its binary fits one torch only
    assert base["pytorch-lightning"].startswith("2.6.")
    assert base["hydra-core"].startswith("1.3.")


def test_light_environment_has_the_versions_of_the_whole_one_and_nothing_heavy() -> None:
    base, light = pins(BASE), pins(INFERENCE)

    assert light == {name: base[name] for name in light}
    assert not TOO_HEAVY & light.keys()


@pytest.mark.slow
def test_every_imported_package_is_pinned() -> None:
    known = pins(*LOCKS)
    distributions = importlib.metadata.packages_distributions()

    absent = {}
    for package in imported_packages() - OPTIONAL - OF_OTHER_PROGRAMS:
        owners = {normalized(name) for name in distributions.get(package, [])}
        if not (owners | {normalized(package), PACKAGE_OF.get(package)}) & known.keys():
            absent[package] = sorted(owners)

    assert not absent, f"imported but in no lock file: {absent}"


@pytest.mark.parametrize("name", [BASE, INFERENCE])
@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("version", VERSIONS)
def test_every_dependency_of_a_pinned_package_is_pinned(version: str, system: str, name: str) -> None:
    pinned = pins(name, system=system, version=version)

    absent = set()
    for package in pinned:
        try:
            needed = importlib.metadata.distribution(package).requires or []
        except importlib.metadata.PackageNotFoundError:
            continue  # of another system or version
        for requirement in map(Requirement, needed):
            marker = requirement.marker
            is_needed = marker is None or marker.evaluate(environment_of(system, version))
            if is_needed and normalized(requirement.name) not in pinned:
                absent.add(f"{package} needs {requirement}")

    assert not absent


def test_each_pitch_tracker_that_a_user_brings_is_an_extra_of_the_version_that_its_message_names() -> None:
    named = set(re.findall(r'"(torch\w+==[\d.]+)"', (ROOT / "utils/features/pitch/external.py").read_text("utf-8")))

    assert named == set(extras()["crepe"] + extras()["fcpe"])
    assert len(named) == 2
