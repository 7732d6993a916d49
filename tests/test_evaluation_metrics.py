"""Figures of utils.evaluation.metrics against values worked out by hand."""

import numpy as np
import pytest

from utils.evaluation.metrics import (
    character_errors,
    cosine_similarity,
    edit_distance,
    f0_correlation,
    mean_embedding,
    normalize_text,
    voicing_agreement,
)


def test_cosine_of_same_direction_is_one_and_of_right_angle_zero() -> None:
    assert cosine_similarity(np.array([1.0, 2.0]), np.array([2.0, 4.0])) == pytest.approx(1.0)
    assert cosine_similarity(np.array([1.0, 0.0]), np.array([0.0, 3.0])) == 0.0


def test_cosine_with_a_zero_vector_is_zero() -> None:
    assert cosine_similarity(np.zeros(3), np.ones(3)) == 0.0


def test_mean_embedding_ignores_the_length_of_each() -> None:
    mean = mean_embedding([np.array([10.0, 0.0]), np.array([0.0, 0.1])])

    np.testing.assert_allclose(mean, [2**-0.5, 2**-0.5])


def test_mean_embedding_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        mean_embedding([])


def test_f0_correlation_is_one_under_a_shift_in_semitones() -> None:
    curve = np.linspace(100.0, 200.0, 50)

    assert f0_correlation(curve, curve * 2 ** (7 / 12)) == pytest.approx(1.0)


def test_f0_correlation_uses_only_frames_voiced_in_both() -> None:
    first = np.linspace(100.0, 200.0, 40)
    second = first.copy()
    second[::2] = 0.0  # would ruin the correlation if it counted

    assert f0_correlation(first, second) == pytest.approx(1.0)


def test_f0_correlation_of_opposite_curves_is_minus_one() -> None:
    rising = 100.0 * 2.0 ** np.linspace(0, 1, 30)

    assert f0_correlation(rising, rising[::-1]) == pytest.approx(-1.0)


def test_f0_correlation_says_none_where_it_means_nothing() -> None:
    assert f0_correlation(np.zeros(50), np.full(50, 100.0)) is None
    assert f0_correlation(np.full(50, 100.0), np.full(50, 100.0)) is None


def test_voicing_agreement_counts_equal_frames() -> None:
    assert voicing_agreement(np.array([0.0, 100.0, 100.0, 0.0]), np.array([0.0, 90.0, 0.0, 0.0])) == 0.75


@pytest.mark.parametrize(("first", "second", "distance"), [("", "", 0), ("abc", "", 3), ("kitten", "sitting", 3)])
def test_edit_distance_of_known_pairs(first: str, second: str, distance: int) -> None:
    assert edit_distance(first, second) == distance
    assert edit_distance(second, first) == distance


def test_text_is_compared_without_case_signs_and_spaces() -> None:
    assert normalize_text("  Don't STOP -- it's 5 o’clock!  ") == "dont stop its 5 oclock"


def test_character_errors_count_edits_of_the_normalized_text() -> None:
    assert character_errors("Hello, world.", "hello word") == (1, 11)
