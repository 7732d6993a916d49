"""The comparison of two trainings: which one wins, and what is not measured."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import fine_tune
from benchmarks.fine_tune import Voice, difference, edits_by_clip, show

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


def test_errors_at_each_place_on_the_frames_are_printed_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    short = Voice(figures(0.4, 0.8, 0.04), [[0, 0.0512, 0.0], [10, 0.0288, 0.01]], {"a": [4, 100], "b": [2, 60]})
    long = Voice(figures(0.5, 0.7, 0.05), [[0, 0.05, 0.0], [10, 0.05, 0.01]], {"a": [6, 100], "b": [3, 60]})
    monkeypatch.setattr(fine_tune, "load_evaluators", lambda *_, **__: SimpleNamespace(missing={}))
    monkeypatch.setattr(fine_tune, "train_both", lambda *_: (short, long))

    assert fine_tune.main(["--work", str(tmp_path), "--delays", "0,10"]) == 0

    out = capsys.readouterr().out
    assert "character errors differ by -0.0187, beyond two standard errors" in out
    assert "0.0512" in out
    assert "0.0288" in out
    kept = json.loads((tmp_path / "fine_tune.json").read_text())
    assert kept["3 min from the base"]["errors"] == short.errors


def test_standard_error_of_a_difference_is_that_of_drawing_clips_again() -> None:
    rng = np.random.default_rng(0)
    characters = rng.integers(50, 250, 200)
    one, other = ({str(i): [int(rng.poisson(0.04 * n)), int(n)] for i, n in enumerate(characters)} for _ in range(2))

    value, error = difference(one, other)

    edits = np.array([one[clip][0] - other[clip][0] for clip in one])
    drawn = rng.integers(len(edits), size=(4000, len(edits)))
    again = edits[drawn].sum(1) / characters[drawn].sum(1)
    assert value == pytest.approx(edits.sum() / characters.sum())
    assert error == pytest.approx(again.std(), rel=0.05)


def test_places_of_a_clip_are_counted_together() -> None:
    files = [
        {"file": f"{clip}_{delay}ms", "whisper_edits": edits, "whisper_characters": 50}
        for clip, delay, edits in (("a_1", 0, 2), ("a_1", 10, 3), ("b_1", 0, 1))
    ]

    assert edits_by_clip(files) == {"a_1": [5, 100], "b_1": [1, 50]}
