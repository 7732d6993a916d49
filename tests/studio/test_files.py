"""Files that the studio gives away: those of a few folders, and nothing beside them."""

import dataclasses
import json
from pathlib import Path

import pytest

from studio.files import address, outlier_address, outliers, permitted, sounds_of
from studio.jobs import Job
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


def test_what_the_doctor_named_is_given_wherever_it_lies_and_nothing_beside_it(
    workspace: Workspace, tmp_path_factory: pytest.TempPathFactory
) -> None:
    source = tmp_path_factory.mktemp("elsewhere")
    for name in ("loud take.wav", "other.wav", "sub/soft.flac", "notes.txt"):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text("x")
    (source / "linked.wav").symlink_to(workspace.folder / "secret.wav")
    named = ("loud take.wav", "sub/soft.flac", "notes.txt", "linked.wav", "../x.wav", "gone.wav")
    rows = [{"rule": "level", "subject": name, "words": "", "remedy": "", "leave_out": True} for name in named]
    found = {"verdicts": {}, "plan": [], "findings": rows, "leave_out": [], "missing": []}
    (workspace.folder / "datasets" / "anna").mkdir(parents=True)
    (workspace.folder / "datasets" / "anna" / "doctor.json").write_text(json.dumps(found))
    arguments = ("preprocess.py", f"dataset.source={source}", "dataset.name=anna")
    job = Job(id="1", arguments=arguments, title="", device="cpu", folder=workspace.folder, state="done", submitted=0.0)

    given = outliers(workspace, job)

    assert given == {name: source / name for name in ("loud take.wav", "sub/soft.flac")}
    assert outliers(workspace, dataclasses.replace(job, arguments=("train.py", *arguments[1:]))) == {}
    one = ("preprocess.py", f"dataset.source={source / 'loud take.wav'}", "dataset.name=anna")
    assert outliers(workspace, dataclasses.replace(job, arguments=one))["loud take.wav"] == source / "loud take.wav"
    assert outlier_address(job, "loud take.wav") == "/outlier/1/loud%20take.wav"


def test_a_link_that_leads_out_is_not_followed(workspace: Workspace) -> None:
    (workspace.folder / "runs" / "out.wav").symlink_to(workspace.folder / "secret.wav")

    assert permitted(workspace, "runs/out.wav") is None
