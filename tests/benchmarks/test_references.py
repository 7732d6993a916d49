"""A source that the recognizer misreads at one place does not count against the voice."""

from typing import Any

import pytest

from benchmarks.references import central_text, with_common_references
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

    judged = with_common_references(Evaluation({"whisper_character_error": 1.0, "other": 0.5}, files))

    assert [file["whisper_edits"] for file in judged.files] == [0, 0, len("chapter seven ")]
    assert {file["whisper_text_reference"] for file in judged.files} == {WHOLE}
    characters = len("chapter seven it was no pleasant thought")
    assert judged.means == {"whisper_character_error": pytest.approx(14 / (3 * characters)), "other": 0.5}
    assert files[1]["whisper_edits"] == 0 and "whisper_text_reference" not in files[1]


def test_two_places_keep_the_text_of_each() -> None:
    files = rows((WHOLE, WHOLE), ("Chapter seven", WHOLE))

    judged = with_common_references(Evaluation({"whisper_character_error": 1.0}, files))

    assert judged.files == files
    assert judged.means == {"whisper_character_error": 0.0}


def test_without_a_recognizer_nothing_changes() -> None:
    evaluation = Evaluation({"other": 0.5}, [{"file": "clip_1_0ms"}])

    assert with_common_references(evaluation) == evaluation


def test_central_text_is_nearest_to_all_others() -> None:
    assert central_text(["abcd", "abxd", "zzzz", "abce"]) == "abcd"
    assert central_text(["one"]) == "one"
    assert central_text(["a b c", "abc", "abc"]) == "abc"
