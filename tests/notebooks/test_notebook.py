"""The notebook for Colab, Kaggle and a local Jupyter: what is in it, and that it runs from top to bottom."""

import ast
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from utils.audio.synthetic_speech import write_recordings

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "notebooks" / "voclo_trainer.ipynb"
SMALL = {
    "preprocess.py": ["content=toy", "preprocess.num_workers=0"],
    "train.py": [
        "model=toy", "pretrained=none", "discriminator=none", "trainer.steps=6", "trainer.validate_every=3",
        "data.batch_size=2", "data.segment_frames=40", "data.val_segment_frames=100", "retrieval.codebook_size=32",
    ],
    "export_onnx.py": ["export.verify_minutes=0.05", "export.verify_blocks=50"],
}  # fmt: skip


def cells() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    return found


def sources(kind: str) -> list[str]:
    return ["".join(cell["source"]) for cell in cells() if cell["cell_type"] == kind]


def test_it_is_kept_without_results() -> None:
    assert all(
        not cell["outputs"] and cell["execution_count"] is None for cell in cells() if cell["cell_type"] == "code"
    )
    assert len({cell["id"] for cell in cells()}) == len(cells())


def test_what_only_colab_has_is_asked_for_in_colab_alone() -> None:
    unguarded = []
    for source in sources("code"):
        tree = ast.parse(source)
        guarded = {
            id(node)
            for branch in ast.walk(tree)
            if isinstance(branch, ast.If) and "IN_COLAB" in ast.dump(branch.test)
            for statement in branch.body
            for node in ast.walk(statement)
        }
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        unguarded += [ast.dump(node) for node in imports if "google" in ast.dump(node) and id(node) not in guarded]

    assert not unguarded


def test_it_holds_no_secret_and_opens_no_tunnel() -> None:
    text = NOTEBOOK.read_text("utf-8").lower()

    assert not re.findall(r"ngrok|cloudflared|gradio|localtunnel|share=true|token|password|api_key|0\.0\.0\.0", text)


def test_pages_that_it_names_exist() -> None:
    links = [link for source in sources("markdown") for link in re.findall(r"\]\(([^)]+)\)", source)]

    assert len(links) >= 3
    assert all((NOTEBOOK.parent / link).is_file() for link in links)


@pytest.mark.slow
def test_it_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = "pip install --no-deps -r requirements-notebook.lock (make test-all does it)"
    for name in ("nbformat", "nbclient", "ipykernel"):
        pytest.importorskip(name, reason=f"the notebook needs it: {needed}")
    import nbclient
    import nbformat

    write_recordings(tmp_path / "recordings", num_files=4, seconds=3.0, f0_hz=210, sample_rate=24000)
    write_recordings(tmp_path / "songs", num_files=1, seconds=2.0, f0_hz=120, sample_rate=16000)
    monkeypatch.setenv("NOTEBOOK_OPTIONS", json.dumps({"work": str(tmp_path), "settings": SMALL}))
    monkeypatch.setenv("JUPYTER_PATH", str(Path(sys.prefix) / "share" / "jupyter"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)

    nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(NOTEBOOK.parent)}}
    ).execute()

    shown = [cell for cell in notebook.cells if cell.cell_type == "code" and "Audio" in str(cell.outputs)]
    assert len(shown) == 2  # the held-out clips, and what was converted
    assert (tmp_path / "my_voice.zip").stat().st_size > 100_000
    assert list((tmp_path / "converted").glob("*.wav"))
    assert (tmp_path / "runs" / "my_voice" / "report.html").is_file()
