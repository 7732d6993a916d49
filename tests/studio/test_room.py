"""What holds for every module of the studio."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "studio").rglob("*.py"))
UNPICKLING = {"pickle", "dill", "joblib", "cloudpickle", "shelve", "marshal", "torch", "faiss"}


def test_nothing_unpickles_and_nothing_needs_pytorch() -> None:
    for path in MODULES:
        tree = ast.parse(path.read_text("utf-8"))
        names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        loads = [node for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "allow_pickle"]

        assert not {name.partition(".")[0] for name in names} & UNPICKLING, path
        assert not loads, path


def test_the_process_of_the_pages_has_no_pytorch_in_it() -> None:
    parts = [path.relative_to(ROOT).with_suffix("").parts for path in MODULES if not path.stem.startswith("__")]
    names = [".".join(part) for part in parts]
    code = f"""
import importlib, sys
for name in {names!r}:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:  # pages need an extra that need not be installed
        assert error.name in ("nicegui", "fastapi"), error
sys.exit("torch" in sys.modules)
"""

    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
