"""The fixed sentence: spoken once, converted once for each export of a voice."""

import json
import os
import sys
from pathlib import Path

import pytest
import soundfile

from studio import previews
from studio.previews import SENTENCE, preview_command, preview_of, speak
from studio.workspace import Workspace

GRAPH = Path("exports/anna/anna.onnx")


def card(workspace: Workspace, median: float | None) -> Path:
    path = workspace.folder / "exports" / "anna" / "card.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"voice": {"speakers": [{"name": "anna", "f0_median_hz": median}]}}))
    return path


def test_without_a_text_to_speech_voice_the_sentence_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "hibari", None)

    speak(tmp_path / SENTENCE)

    assert soundfile.info(tmp_path / SENTENCE).duration > 2


def test_a_preview_is_of_this_export_of_the_voice(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    path = card(workspace, 200.0)
    assert preview_of(workspace, "anna") is None
    made = tmp_path / previews.PREVIEWS / "anna" / SENTENCE
    made.parent.mkdir(parents=True)
    made.write_text("x")

    assert preview_of(workspace, "anna") == made
    os.utime(path, (2e9, 2e9))
    assert preview_of(workspace, "anna") is None


def test_the_pitch_is_moved_where_the_voice_knows_its_own(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)

    card(workspace, 200.0)
    assert "pitch_shift=auto" in preview_command(workspace, "anna", GRAPH).overrides
    card(workspace, None)
    assert "pitch_shift=auto" not in preview_command(workspace, "anna", GRAPH).overrides
