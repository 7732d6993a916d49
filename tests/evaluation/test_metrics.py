"""Figures of utils.evaluation.metrics against values worked out by hand."""

import numpy as np
import pytest

from utils.evaluation.metrics import (
    character_errors,
    cosine_similarity,
    edit_distance,
    mean_embedding,
    normalize_text,
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


@pytest.mark.parametrize(("first", "second", "distance"), [("", "", 0), ("abc", "", 3), ("kitten", "sitting", 3)])
def test_edit_distance_of_known_pairs(first: str, second: str, distance: int) -> None:
    assert edit_distance(first, second) == distance
    assert edit_distance(second, first) == distance


def test_text_is_compared_without_case_signs_and_spaces() -> None:
    assert normalize_text("  Don't STOP -- it's 5 o’clock!  ") == "dont stop its 5 oclock"


def test_character_errors_count_edits_of_the_normalized_text() -> None:
    assert character_errors("Hello, world.", "hello word") == (1, 11)
