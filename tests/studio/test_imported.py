"""Imported voices that can be exported, and the index that belongs to each."""

import os
from pathlib import Path

from studio.imported import imported_indexes, imported_voices, index_beside
from studio.workspace import Workspace


def test_voices_and_indexes_of_imports_are_found_the_newest_first(tmp_path: Path) -> None:
    root = tmp_path / "imported"
    files = (
        "old/bob.pth",
        "old/bob.index",
        "new/eve.safetensors",
        "new/kmeans.pt",
        ".incoming-1/x.pth",
        "no_import/y.pth",
    )
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    for folder in ("old", "new", ".incoming-1"):
        (root / folder / "import.json").write_text("{}")
    os.utime(root / "old", (1e9, 1e9))
    workspace = Workspace(tmp_path)

    voices = imported_voices(workspace)

    assert list(voices) == ["new/eve.safetensors", "old/bob.pth"]
    assert voices["old/bob.pth"] == Path("imported/old/bob.pth")
    assert imported_indexes(workspace) == {"old/bob.index": Path("imported/old/bob.index")}
    assert index_beside(workspace, voices["old/bob.pth"]) == Path("imported/old/bob.index")
    assert index_beside(workspace, voices["new/eve.safetensors"]) is None
