"""The comparison of two trainings: which one wins, and what is not measured."""

import pytest

from benchmarks.fine_tune import show

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
