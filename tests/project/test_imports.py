"""Who may import whom. A new edge fails here: change the table on purpose, with docs/explanation/architecture.md.

Every import counts, also one inside a function or under TYPE_CHECKING.
"""

import ast
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("models", "utils", "benchmarks", "recipes", "scripts", "hydra_plugins", "studio")
OURS = {*FOLDERS, "tests"}

# room -> rooms that it may import; "models.*" are the architectures and their other forms, which nothing imports
BASE = {
    "utils.background",
    "utils.version",
    "utils.errors",
    "utils.config",
    "utils.console",
    "utils.files",
    "utils.idle_processes",
    "utils.locks",
    "utils.memory",
    "utils.shipped",
}
LOWER = BASE | {"utils.audio", "utils.features"}
CONVERSION = {"models.base", "models.conversion", "models.stream_conversion"}
CONTRACTS = CONVERSION | {"models.adversarial", "models.updating"}
ROOMS = {
    "utils.corpus", "utils.training", "utils.export", "utils.inference", "utils.evaluation", "utils.verification",
    "utils.voice_file", "utils.rvc", "utils.doctor", "utils.reports", "utils.run_evaluation",
    "utils.live", "utils.distillation", "utils.speech", "utils.covers",
}  # fmt: skip
COMMANDS = ROOMS | LOWER | CONTRACTS | {"models.layers", "utils.command_line"}
ALLOWED: dict[str, set[str]] = {
    "utils.errors": set(),
    "utils.background": set(),
    "utils.console": set(),
    "utils.locks": set(),
    "utils.idle_processes": set(),
    "utils.memory": set(),
    "utils.version": set(),
    "utils.config": {"utils.errors", "utils.version", "utils.console"},
    "utils.files": {"utils.errors"},
    "utils.shipped": {"utils.errors", "utils.files"},
    "utils.command_line": {"utils.errors", "utils.files", "utils.console"},
    "utils.audio": BASE,  # and utils.features for the promised name extract_f0 alone, see test_names.py
    "utils.rvc": {"utils.errors", "utils.files"},
    "utils.voice_file": {"utils.errors", "utils.audio"},
    "utils.verification": BASE | {"utils.audio", "utils.voice_file"},
    "utils.inference": BASE | {"utils.audio", "utils.voice_file"},
    "models": {"models.base"},
    "models.clip_random": set(),
    "models.updating": set(),
    "models.layers": BASE | {"utils.audio", "utils.voice_file"},
    "models.discriminators": {"utils.audio"},
    "models.adversarial_losses": {"models.discriminators"},
    "models.conversion": BASE | {"utils.audio", "utils.voice_file", "models.layers"},
    "models.base": BASE | {"utils.audio", "models.layers", "models.conversion", "models.clip_random"},
    "models.stream_conversion": {"utils.voice_file", "models.layers", "models.base", "models.conversion"},
    "models.adversarial": BASE
    | {"utils.audio", "models.layers", "models.base", "models.discriminators", "models.adversarial_losses"}
    | {"models.clip_random", "models.updating"},
    "models.*": BASE | {"utils.audio", "models.layers", "models.base", "models.discriminators", "models.clip_random"},
    "utils.features": BASE | {"utils.audio", "utils.rvc", "models.layers"},
    "utils.corpus": LOWER,
    "utils.dataset": {"utils.corpus"},  # a promised name, see test_names.py
    "utils.training": LOWER | CONTRACTS | {"utils.corpus", "utils.rvc"},
    "utils.export": LOWER
    | CONVERSION
    | {"models.layers", "utils.training", "utils.corpus", "utils.rvc", "utils.voice_file", "utils.verification"},
    "utils.evaluation": BASE | {"utils.audio", "utils.inference"},
    "utils.distillation": BASE | {"utils.audio", "utils.corpus", "utils.inference"},
    "utils.live": BASE | {"utils.voice_file", "utils.inference"},
    "utils.speech": BASE | {"utils.audio", "utils.voice_file", "utils.inference"},
    "utils.covers": BASE | {"utils.audio", "utils.voice_file", "utils.inference"},
    "utils.run_evaluation": BASE
    | {"utils.audio", "utils.corpus", "utils.training", "utils.inference", "utils.evaluation", "utils.voice_file"}
    | {"models.conversion"},
    "utils.doctor": LOWER | {"utils.corpus", "utils.evaluation"},
    "utils.reports": BASE | {"utils.audio", "utils.corpus", "utils.training", "utils.inference", "utils.evaluation"},
    # a skin: what computes is a job of a script; the readers of files that it shows must do without PyTorch
    "studio": BASE
    | {"utils.audio", "utils.voice_file", "utils.verification", "utils.inference", "utils.training", "utils.reports"},
    "recipes": COMMANDS,
    "scripts": COMMANDS,
    "benchmarks": COMMANDS | {"recipes", "scripts"},
    "hydra_plugins": {"utils.errors", "utils.config", "utils.console", "utils.files"},
    "preprocess": BASE | {"utils.corpus", "utils.distillation", "utils.doctor"},
    "train": BASE | {"utils.training", "utils.reports"},
    "report": BASE | {"utils.reports"},
    "live": BASE | {"utils.live"},
    "say": BASE | {"utils.speech"},
    "cover": BASE | {"utils.covers"},
    "export_onnx": BASE | {"utils.export", "utils.voice_file"},
    "test_model": BASE | {"utils.inference", "utils.verification", "utils.evaluation"},
}
WITHOUT_TORCH = (
    "utils.voice_file",
    "utils.verification",
    "utils.inference",
    "utils.live",
    "utils.speech",
    "utils.covers",
    "test_model",
    "studio",
    "live",
    "say",
    "cover",
)
HEAVY = {"torch", "torchaudio", "pytorch_lightning", "faiss", "models"}


@cache
def modules() -> dict[str, Path]:
    """Every module of the project and its file."""
    paths = [*ROOT.glob("*.py"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))]
    return {module_of(path): path for path in sorted(paths)}


def project_files() -> list[Path]:
    return list(modules().values())


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    """utils.audio.io -> utils.audio; models.layers.x -> models.layers; models.lite -> models.*; train -> train."""
    parts = module.split(".")
    if parts[0] not in ("utils", "models", "tests"):
        return parts[0]
    room = ".".join(parts[:2])
    return "models.*" if parts[0] == "models" and room not in ALLOWED else room


@cache
def imports_of(path: Path) -> set[str]:
    """Modules that a file imports; a module of ours by its own name, also in `from package import module`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            parts = (f"{node.module}.{alias.name}" for alias in node.names)
            found.update(part if part in modules() else node.module for part in parts)
    return found


def own_imports(module: str) -> set[str]:
    return {name for name in imports_of(modules()[module]) if name.split(".")[0] in OURS} - {module}


def circle(graph: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the names along a circle, or nothing."""
    finished: set[str] = set()

    def visit(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name not in finished:
            for following in sorted(graph.get(name, ())):
                found = visit(following, [*way, name])
                if found:
                    return found
            finished.add(name)
        return []

    return next((found for name in sorted(graph) if (found := visit(name, []))), [])


@pytest.mark.parametrize("module", modules())
def test_imports_point_downwards(module: str) -> None:
    room = room_of(module)

    wrong = {name for name in own_imports(module) if room_of(name) not in ALLOWED[room] | {room}}

    assert not wrong, f"{room} must not import {sorted(wrong)}"


def test_the_table_has_no_circle_and_names_rooms_that_exist() -> None:
    rooms = {room_of(module) for module in modules()} - {"utils"}

    assert circle(ALLOWED) == []
    assert {name for allowed in ALLOWED.values() for name in allowed} <= set(ALLOWED)
    assert set(ALLOWED) - {"utils.config"} <= rooms and rooms <= set(ALLOWED)


def test_no_files_import_each_other_in_a_circle() -> None:
    assert circle({module: own_imports(module) & set(modules()) for module in modules()}) == []


def test_a_circle_is_found() -> None:
    assert circle({"a": ["b"], "b": ["c"], "c": ["b"], "d": []}) == ["b", "c", "b"]
    assert circle({"a": ["b", "c"], "b": ["c"], "c": []}) == []


@pytest.mark.parametrize(
    ("room", "other"),
    [
        ("utils.export", "utils.inference"),
        ("utils.inference", "utils.export"),
        ("utils.verification", "utils.export"),
        ("utils.verification", "utils.inference"),
        ("utils.voice_file", "utils.verification"),
        ("models.base", "utils.features"),
    ],
)
def test_rooms_that_must_not_know_each_other_do_not_by_any_way(room: str, other: str) -> None:
    reached, open_ends = {room}, [room]
    while open_ends:
        following = ALLOWED[open_ends.pop()] - reached
        reached |= following
        open_ends += following

    assert other not in reached


def test_nothing_outside_the_tests_imports_them() -> None:
    for module in modules():
        assert not {name for name in own_imports(module) if name.split(".")[0] == "tests"}, module


def test_only_a_configuration_names_an_architecture() -> None:
    for module in modules():
        concrete = {name for name in own_imports(module) if room_of(name) == "models.*"}
        is_model = module.split(".")[0] == "models"
        assert is_model or not concrete, f"{module} imports {sorted(concrete)}; name it in configs/model with _target_"


def test_converting_and_verifying_lead_to_no_module_that_needs_torch() -> None:
    ways = {module: module for module in modules() if room_of(module) in WITHOUT_TORCH}
    open_ends = sorted(ways)
    while open_ends:
        module = open_ends.pop()
        path = modules()[module]
        heavy = {name.split(".")[0] for name in imports_of(path)} & HEAVY
        assert not heavy, f"{ways[module]} leads to {sorted(heavy)}"
        for name in own_imports(module) - set(ways):
            ways[name] = f"{ways[module]} > {name}"
            open_ends.append(name)
