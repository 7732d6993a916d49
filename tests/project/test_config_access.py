"""What Hydra makes of a configuration is seen by utils/config alone; everything else has typed jobs."""

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOM = ("utils", "config")
# plug-ins of Hydra get what Hydra makes; their tests and those of the room make it themselves
MAY_IMPORT = {("hydra_plugins",), ("tests", "config")}
SCRIPTS = ("preprocess.py", "train.py", "export_onnx.py", "test_model.py")


def sources() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    paths = [Path(line) for line in listed.stdout.splitlines() if (ROOT / line).is_file()]
    return [path for path in paths if path.parts[:2] != ROOM and path.name != Path(__file__).name]


def test_no_composed_configuration_outside_its_room() -> None:
    kind = "Dict" + "Config"

    assert [str(path) for path in sources() if kind in (ROOT / path).read_text(encoding="utf-8")] == []


@pytest.mark.slow
def test_omegaconf_is_imported_by_its_room_and_the_plug_ins_alone() -> None:
    found = []
    for path in sources():
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        imports = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        imports += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
        is_free = any(path.parts[: len(folder)] == folder for folder in MAY_IMPORT)
        found += [str(path) for name in imports if name.partition(".")[0] == "omegaconf" and not is_free]

    assert found == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_a_shell_of_under_forty_lines(name: str) -> None:
    assert len((ROOT / name).read_text(encoding="utf-8").splitlines()) < 40
