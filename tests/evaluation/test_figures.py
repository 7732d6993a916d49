"""How sure a figure is, and whether a difference is more than noise."""

import numpy as np
import pytest

from utils.evaluation.figures import (
    Terms,
    describe_figure,
    difference_of,
    differences_of,
    interval_of,
    intervals_of,
    is_shown,
    standard_error_of,
    terms_of,
)
from utils.evaluation.score import SCORE, with_scores


def terms(values: list[float]) -> Terms:
    return Terms(np.array(values), np.ones(len(values)))


def test_a_character_error_is_edits_over_characters_of_all_files() -> None:
    files = [{"w_edits": 1, "w_characters": 10}, {"w_edits": 0, "w_characters": 30}, {"other": 1}]
    found = terms_of(files, "w_character_error")

    assert found is not None and found.value == pytest.approx(1 / 40)
    assert terms_of([{"w_edits": 0, "w_characters": 0}], "w_character_error") is None
    assert terms_of(files, "absent") is None


def test_files_without_a_word_leave_the_error_of_a_character_error_finite() -> None:
    quiet = {"w_edits": 2, "w_characters": 0}
    spoken = [{"w_edits": 1, "w_characters": 10}, {"w_edits": 4, "w_characters": 10}]
    found = terms_of([*spoken, quiet, quiet], "w_character_error")

    assert found is not None
    error, ends = standard_error_of(found), interval_of(found)
    assert error is not None and 0.05 < error < 2
    assert ends is not None and 0 < ends[0] < 0.35 < ends[1] < 5


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(200):
        ends = interval_of(terms(list(rng.normal(0.5, 0.1, 20))), seed=trial)
        assert ends is not None
        hits += ends[0] <= 0.5 <= ends[1]

    assert 0.88 <= hits / 200 <= 0.99  # the percentile bootstrap is a little narrow with twenty


def test_of_two_files_there_is_no_interval_and_no_difference() -> None:
    assert interval_of(terms([0.1, 0.2])) is None
    assert not difference_of(terms([0.9, 0.9]), terms([0.1, 0.1])).is_real


@pytest.mark.parametrize("count", [8, 20])
def test_a_difference_in_every_file_is_real_and_one_of_chance_is_not(count: int) -> None:
    rng = np.random.default_rng(1)
    base = list(rng.normal(0.5, 0.1, count))
    better = [value + 0.02 for value in base]
    shuffled = list(np.array(base) + rng.normal(0, 0.1, count))

    clear, chance = difference_of(terms(better), terms(base)), difference_of(terms(shuffled), terms(base))

    assert clear.is_real and clear.mean == pytest.approx(0.02) and clear.low > 0
    assert not chance.is_real


def test_chance_alone_is_rarely_called_real() -> None:
    rng = np.random.default_rng(2)
    called = sum(
        difference_of(terms(list(rng.normal(0, 1, 8))), terms(list(rng.normal(0, 1, 8)))).is_real for _ in range(200)
    )

    assert called / 200 <= 0.08


def test_only_files_that_both_voices_have_are_compared() -> None:
    first = [{"file": name, "f0_correlation": value} for name, value in (("a", 0.9), ("b", 0.8), ("c", 0.7))]
    second = [{"file": name, "f0_correlation": value} for name, value in (("c", 0.6), ("b", 0.7), ("d", 0.1))]

    assert differences_of(first, second, ["f0_correlation"])["f0_correlation"].mean == pytest.approx(0.1)
    assert differences_of(first, [{"file": "z"}], ["f0_correlation"]) == {}


def test_names_of_figures_are_words() -> None:
    assert describe_figure("ecapa_converted_to_target")[0] == "similarity to the target (ecapa)"
    assert describe_figure("whisper_character_error")[0] == "character error (whisper)"
    assert is_shown("f0_correlation") and not is_shown("something_else")
    assert list(intervals_of([{"f0_correlation": 0.5}] * 3, ["f0_correlation"])) == ["f0_correlation"]


def test_the_score_is_the_way_to_the_speaker_less_the_errors() -> None:
    means = {"e_source_to_target": 0.5, "e_target_own": 0.9}
    row = {"e_converted_to_target": 0.8, "w_edits": 1, "w_characters": 10, "f0_correlation": 0.9}

    scored = with_scores([row, {"f0_correlation": 0.9}], means)

    assert scored[0][SCORE] == pytest.approx(0.75 - 0.1 - 0.05)
    assert SCORE not in scored[1]
    assert SCORE not in with_scores([row], {"e_source_to_target": 0.9, "e_target_own": 0.9})[0]  # no way to go
