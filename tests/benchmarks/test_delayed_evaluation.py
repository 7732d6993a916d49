"""A source that the recognizer misreads behind one delay does not count against the voice; how sure an error is."""

from typing import Any

import numpy as np
import pytest

from benchmarks.delayed_evaluation import (
    central_text,
    difference,
    edits_by_clip,
    errors_by_delay,
    with_common_references,
)
from utils.evaluation.evaluation import Evaluation

WHOLE = "Chapter seven. It was no pleasant thought."


def rows(*readings: tuple[str, str]) -> list[dict[str, Any]]:
    return [
        {"file": f"clip_1_{index}ms", "whisper_text_source": source, "whisper_text_converted": converted,
         "whisper_edits": 0, "whisper_characters": 1}
        for index, (source, converted) in enumerate(readings)
    ]  # fmt: skip


def test_reading_that_stops_early_is_not_the_reference() -> None:
    files = rows((WHOLE, WHOLE), ("Chapter seven", WHOLE), (WHOLE.lower(), "It was no pleasant thought"))

    found = with_common_references(Evaluation({"whisper_character_error": 1.0, "other": 0.5}, files))

    assert [file["whisper_edits"] for file in found.files] == [0, 0, len("chapter seven ")]
    assert {file["whisper_text_reference"] for file in found.files} == {WHOLE}
    characters = len("chapter seven it was no pleasant thought")
    assert found.means == {"whisper_character_error": pytest.approx(14 / (3 * characters)), "other": 0.5}
    assert files[1]["whisper_edits"] == 0 and "whisper_text_reference" not in files[1]


def test_two_delays_keep_the_text_of_each() -> None:
    files = rows((WHOLE, WHOLE), ("Chapter seven", WHOLE))

    found = with_common_references(Evaluation({"whisper_character_error": 1.0}, files))

    assert found.files == files
    assert found.means == {"whisper_character_error": 0.0}


def test_without_a_recognizer_nothing_changes() -> None:
    evaluation = Evaluation({"other": 0.5}, [{"file": "clip_1_0ms"}])

    assert with_common_references(evaluation) == evaluation


def test_central_text_is_nearest_to_all_others() -> None:
    assert central_text(["abcd", "abxd", "zzzz", "abce"]) == "abcd"
    assert central_text(["one"]) == "one"
    assert central_text(["a b c", "abc", "abc"]) == "abc"


def test_standard_error_of_a_difference_is_that_of_sampling_clips_again() -> None:
    rng = np.random.default_rng(0)
    characters = rng.integers(50, 250, 200)
    one, other = ({str(i): [int(rng.poisson(0.04 * n)), int(n)] for i, n in enumerate(characters)} for _ in range(2))

    value, error = difference(one, other)

    edits = np.array([one[clip][0] - other[clip][0] for clip in one])
    chosen = rng.integers(len(edits), size=(4000, len(edits)))
    again = edits[chosen].sum(1) / characters[chosen].sum(1)
    assert value == pytest.approx(edits.sum() / characters.sum())
    assert error == pytest.approx(again.std(), rel=0.05)


def test_delays_of_a_clip_are_counted_together() -> None:
    files = [
        {"file": f"{clip}_{delay}ms", "whisper_edits": edits, "whisper_characters": 50}
        for clip, delay, edits in (("a_1", 0, 2), ("a_1", 10, 3), ("b_1", 0, 1))
    ]

    assert edits_by_clip(files) == {"a_1": [5, 100], "b_1": [1, 50]}


def test_errors_stand_beside_the_delay_that_they_belong_to() -> None:
    def file(name: str, edits: int, characters: int, text: str) -> dict[str, object]:
        keys = {"edits": edits, "characters": characters, "text_source": text}
        return {"file": name} | {f"whisper_{key}": value for key, value in keys.items()}

    files = [
        file("a_0ms", 1, 10, "abcde fghi"),
        file("b_0ms", 2, 30, "x" * 30),
        file("a_10ms", 4, 10, "abcde fghx"),
        file("b_10ms", 0, 30, "x" * 29 + "y"),
        file("a_110ms", 9, 10, "z"),
        file("b_110ms", 9, 10, "z"),
    ]

    assert errors_by_delay(files, [0, 10]) == [[0, 0.075, 0.0], [10, 0.1, 0.05]]
