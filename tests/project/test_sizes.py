"""No file and no function is longer than a reader can hold in mind."""

import ast
import statistics
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MAX_FILE, MAX_MEDIAN, MAX_FUNCTION = 400, 130, 60
MAX_LIGHT_VOICE = 170


def code() -> dict[Path, str]:
    """Return the text of every Python file of the project, by its path."""
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    paths = [ROOT / line for line in listed.stdout.splitlines()]
    return {path.relative_to(ROOT): path.read_text("utf-8") for path in paths if path.is_file()}


def num_lines(text: str) -> int:
    return len(text.splitlines())


def test_no_file_is_longer_than_a_reader_holds_in_mind() -> None:
    sizes = {str(path): num_lines(text) for path, text in code().items()}

    assert {path: size for path, size in sizes.items() if size > MAX_FILE} == {}
    assert statistics.median(sizes.values()) <= MAX_MEDIAN
    assert sizes["models/lite.py"] <= MAX_LIGHT_VOICE


def test_no_function_is_longer_than_a_screen() -> None:
    too_long = {
        f"{path}:{node.name}": node.end_lineno - node.lineno + 1
        for path, text in code().items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > MAX_FUNCTION
    }

    assert too_long == {}
