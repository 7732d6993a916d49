"""Who may import whom. A new edge fails here: change the table on purpose, with docs/explanation/architecture.md."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BASE = {"utils.errors", "utils.config", "utils.console", "utils.files", "utils.locks", "utils.memory", "utils.shipped"}
LOWER = BASE | {"utils.audio", "utils.features"}
MODELS = {"models.base", "models.conversion", "models.adversarial", "models.updating"}
ALLOWED: dict[str, set[str]] = {
    "utils.errors": set(),
    "utils.config": {"utils.errors"},
    "utils.console": set(),
    "utils.files": {"utils.errors"},
    "utils.locks": set(),
    "utils.memory": set(),
    "utils.shipped": {"utils.errors", "utils.files"},
    "utils.audio": BASE,
    "utils.features": BASE | {"utils.audio", "utils.rvc", "models.layers"},
    "utils.corpus": LOWER,
    "utils.dataset": {"utils.corpus"},  # a promised name, see test_names.py
    "utils.rvc": BASE,
    "utils.voice_file": BASE | {"utils.audio"},
    "utils.verification": BASE | {"utils.audio", "utils.voice_file"},
    "utils.training": LOWER | MODELS | {"utils.corpus", "utils.rvc"},
    "utils.export": LOWER
    | {"models.base", "models.conversion", "models.layers", "utils.training", "utils.corpus", "utils.rvc"}
    | {"utils.voice_file", "utils.verification"},
    "utils.inference": BASE | {"utils.audio", "utils.voice_file", "utils.verification"},
    "utils.command_line": {"utils.errors", "utils.files"},
    "utils.evaluation": LOWER | {"utils.inference"},
    "models": set(),
    "models.layers": BASE | {"utils.audio", "utils.voice_file"},
    "models.conversion": BASE | {"utils.audio", "utils.voice_file", "models.layers"},
    "models.base": BASE
    | {"utils.audio", "utils.voice_file", "models.layers", "models.conversion", "models.clip_random"},
    "models.*": BASE
    | {"utils.audio", "utils.voice_file", "models.layers", "models.base", "models.discriminators", "models.clip_random"}
    | {"models.updating"},
}
OURS = {"utils", "models", "benchmarks", "recipes", "scripts", "tests"}
ROOMS = {
    "utils.corpus", "utils.training", "utils.export", "utils.inference", "utils.evaluation", "utils.verification",
    "utils.voice_file", "utils.rvc",
}  # fmt: skip


def project_files() -> list[Path]:
    folders = ("models", "utils", "benchmarks", "recipes", "scripts", "hydra_plugins")
    return sorted([*ROOT.glob("*.py"), *(path for folder in folders for path in (ROOT / folder).rglob("*.py"))])


def room_of(module: str) -> str:
    """utils.audio.io -> utils.audio; models.layers.x -> models.layers; train -> train."""
    top = module.split(".")[0]
    return ".".join(module.split(".")[:2]) if top in ("utils", "models", "tests") else top


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module)
    return found


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def allowed_for(room: str) -> set[str]:
    if room in ALLOWED:
        return ALLOWED[room]
    if room.startswith("models."):
        return ALLOWED["models.*"]
    if room in ("benchmarks", "recipes", "scripts"):
        return ROOMS | LOWER | MODELS | {"models.layers", "utils.command_line", "benchmarks", "scripts", "recipes"}
    return BASE | ROOMS  # a script


@pytest.mark.parametrize("path", project_files(), ids=module_of)
def test_imports_point_downwards(path: Path) -> None:
    room = room_of(module_of(path))

    own = {
        name
        for name in imports_of(path)
        if name.split(".")[0] in ("utils", "models", "benchmarks", "recipes", "scripts", "tests")
    }
    wrong = {name for name in own if room_of(name) != room and room_of(name) not in allowed_for(room)}

    assert not wrong, f"{room} must not import {sorted(wrong)}"


def test_nothing_outside_the_tests_imports_them() -> None:
    for path in project_files():
        assert not {name for name in imports_of(path) if name.split(".")[0] == "tests"}, path


def test_only_a_configuration_names_an_architecture() -> None:
    contracts = {"models", "models.layers", "models.discriminators"} | MODELS
    for path in project_files():
        if path.parts[-2] == "models":
            continue
        concrete = {name for name in imports_of(path) if name.split(".")[0] == "models"} - contracts
        concrete = {name for name in concrete if not name.startswith("models.layers.")}
        assert not concrete, f"{module_of(path)} imports {sorted(concrete)}; name it in configs/model with _target_"


def test_inference_imports_neither_torch_nor_lightning() -> None:
    for path in (ROOT / "utils" / "inference").rglob("*.py"):
        heavy = {name.split(".")[0] for name in imports_of(path)} & {"torch", "torchaudio", "pytorch_lightning"}
        assert not heavy, f"{module_of(path)} imports {sorted(heavy)}"
