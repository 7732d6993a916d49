"""The comparison of two trainings: which one wins, and what is not measured."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import fine_tune
from benchmarks.fine_tune import Voice, show

LABELS = ("short", "long")


def figures(mel: float, similarity: float, error: float | None) -> dict[str, float | None]:
    return {"held_out_mel": mel, "resemblyzer_converted_to_target": similarity, "whisper_character_error": error}


def test_the_short_training_must_win_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    assert show(figures(0.4, 0.8, 0.04), figures(0.5, 0.7, 0.05), LABELS)
    assert not show(figures(0.4, 0.8, 0.06), figures(0.5, 0.7, 0.05), LABELS)

    row = next(line for line in capsys.readouterr().out.splitlines()[::-1] if "character error" in line)
    assert row.split()[-1] == "long"


def test_a_missing_figure_is_named_and_does_not_count(capsys: pytest.CaptureFixture[str]) -> None:
    assert show(figures(0.4, 0.8, None), figures(0.5, 0.7, 0.05), LABELS)

    assert "not measured" in capsys.readouterr().out


def test_errors_behind_each_delay_are_printed_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    short = Voice(figures(0.4, 0.8, 0.04), [[0, 0.0512, 0.0], [10, 0.0288, 0.01]], {"a": [4, 100], "b": [2, 60]})
    long = Voice(figures(0.5, 0.7, 0.05), [[0, 0.05, 0.0], [10, 0.05, 0.01]], {"a": [6, 100], "b": [3, 60]})
    monkeypatch.setattr(fine_tune, "evaluators_of", lambda *_, **__: SimpleNamespace(missing={}))
    monkeypatch.setattr(fine_tune, "train_both", lambda *_: (short, long))

    folders = [f"--{option}={tmp_path}" for option in ("target", "sources", "work")]
    assert fine_tune.main([*folders, "--delays", "0,10"]) == 0

    out = capsys.readouterr().out
    assert "character errors differ by -0.0187, beyond two standard errors" in out
    assert "0.0512" in out
    assert "0.0288" in out
    kept = json.loads((tmp_path / "fine_tune.json").read_text())
    assert kept["3 min from the base"]["errors"] == short.errors
