"""Recordings that saved states converted: where they lie says what they are."""

import json
import os
from pathlib import Path

import pytest

from studio.heard import Settings, folder_of, heard_sounds, states_of
from studio.texts import Texts
from studio.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    for state in ("last", "best"):
        path = tmp_path / "runs" / "anna" / "checkpoints" / f"{state}.ckpt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(state)
    return Workspace(tmp_path)


def converted(workspace: Workspace, settings: Settings) -> Path:
    folder = workspace.folder / folder_of(workspace.folder, "anna", settings)
    folder.mkdir(parents=True)
    (folder / "report.json").write_text(json.dumps({"graph": {"metadata": {"step": 200}}}))
    (folder / "song.wav").write_text("x")
    return folder / "song.wav"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (Settings("best"), "Best, Step 200, pitch_shift=auto"),
        (Settings("last", "-3.5", 0.5, 0.0), "Last, Step 200, pitch_shift=-3.5, index_rate=0.5, protect=0"),
        (Settings("previous", "own"), "The one before the last, Step 200"),
        (Settings("best", "auto_octave", 1.0), "Best, Step 200, pitch_shift=auto_octave, index_rate=1"),
    ],
)
def test_a_conversion_is_known_by_its_folder(workspace: Workspace, settings: Settings, words: str) -> None:
    path = converted(workspace, settings)

    (sound,) = heard_sounds(workspace, "anna")

    assert (sound.path, sound.recording, sound.settings) == (path, "song", settings)
    assert sound.words(Texts("en")) == words


def test_a_state_that_is_saved_again_is_another_one(workspace: Workspace) -> None:
    before = folder_of(workspace.folder, "anna", Settings("last"))
    os.utime(workspace.folder / "runs" / "anna" / "checkpoints" / "last.ckpt", (1e9, 1e9))

    assert folder_of(workspace.folder, "anna", Settings("last")) != before
    assert states_of(workspace.folder / "runs" / "anna") == ["best", "last"]


def test_fields_become_the_settings_of_a_conversion() -> None:
    typed = {"x.state": "last", "x.pitch": "fixed", "x.semitones": -4, "x.index_rate": 0.25, "x.protect": None}

    assert Settings.of(typed, "x").controls == ["pitch_shift=-4", "index_rate=0.25"]
    assert Settings.of({"x.pitch": "own"}, "x").controls == []
