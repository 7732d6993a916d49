"""Files that the studio gives away: those of a few folders, and nothing beside them."""

from pathlib import Path

import pytest

from studio.files import address, permitted, sounds_of
from studio.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    for name in ("runs/a/listening/x.mp3", "exports/a/a.onnx", "secret.wav", ".studio/secret", "runs/a/best.ckpt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    return Workspace(tmp_path)


@pytest.mark.parametrize("name", ["runs/a/listening/x.mp3", "exports/a/a.onnx"])
def test_sounds_and_voices_are_given(workspace: Workspace, name: str) -> None:
    assert permitted(workspace, name) == workspace.folder / name
    assert address(workspace, workspace.folder / name) == f"/file/{name}"


@pytest.mark.parametrize(
    "name",
    [
        "secret.wav",
        ".studio/secret",
        "runs/../secret.wav",
        "runs/a/best.ckpt",
        "runs/a",
        "runs//etc/passwd",
        "",
        "runs/",
    ],
)
def test_nothing_else_is_given(workspace: Workspace, name: str) -> None:
    assert permitted(workspace, name) is None


def test_only_converted_folders_are_packed(workspace: Workspace) -> None:
    made = workspace.folder / "converted" / "anna" / "x.wav"
    made.parent.mkdir(parents=True)
    made.write_text("x")

    assert sounds_of(workspace, "anna") == [made]
    assert [sounds_of(workspace, name) for name in ("..", "../runs", "", "nobody")] == [[], [], [], []]


def test_a_link_that_leads_out_is_not_followed(workspace: Workspace) -> None:
    (workspace.folder / "runs" / "out.wav").symlink_to(workspace.folder / "secret.wav")

    assert permitted(workspace, "runs/out.wav") is None
