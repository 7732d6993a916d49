"""The page of web/ behind the studio: its own files, and nothing beside them."""

from pathlib import Path

import pytest

from studio.web_page import is_ready, page_address, page_file
from studio.workspace import Workspace


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("index.html", "vendor/ort.wasm.min.mjs", "node_modules/x/index.js", "package.json"):
        path = tmp_path / "web" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    (tmp_path / "secret.js").write_text("x")
    return tmp_path / "web"


def test_its_files_are_given(root: Path) -> None:
    assert page_file("index.html", root) == root / "index.html"
    assert is_ready(root) and page_file("vendor/ort.wasm.min.mjs", root) is not None
    (root / "vendor" / "ort.wasm.min.mjs").unlink()
    assert not is_ready(root)


@pytest.mark.parametrize(
    "name", ["../secret.js", "node_modules/x/index.js", "package.json", "", "vendor", "/index.html"]
)
def test_nothing_else_is_given(root: Path, name: str) -> None:
    assert page_file(name, root) is None


def test_a_voice_is_opened_by_its_address(tmp_path: Path) -> None:
    address = page_address(Workspace(tmp_path), tmp_path / "exports" / "Anna B" / "a&b.onnx")

    assert address == "/web/index.html?voice=/file/exports/Anna%2520B/a%2526b.onnx"
