"""Sentences to read: enough languages and sentences, and a coverage that grows with what is read."""

import pytest

from studio.prompts import coverage, prompt_languages, prompts_of, sentences_of


def test_there_are_sentences_in_many_languages() -> None:
    assert len(prompt_languages()) >= 10
    assert {"en", "de", "zh"} <= prompt_languages().keys()


@pytest.mark.parametrize("language", prompt_languages())
def test_sentences_are_many_different_and_short_enough_to_read(language: str) -> None:
    sentences = sentences_of(language)

    assert len(sentences) >= 12
    assert len(set(sentences)) == len(sentences)
    assert all(8 <= len(sentence) <= 120 for sentence in sentences)


def test_coverage_grows_from_nothing_to_all() -> None:
    count = len(sentences_of("en"))
    shares = [coverage("en", range(read)) for read in range(count + 1)]

    assert shares[0] == 0 and shares[-1] == 1
    assert shares == sorted(shares) and shares[count // 2] < 1
    assert coverage("en", [-1, 999]) == 0


@pytest.mark.parametrize("language", prompt_languages())
def test_topics_follow_the_sentences_and_bring_minutes_but_no_sounds(language: str) -> None:
    count = len(sentences_of(language))
    topics = range(count, len(prompts_of(language)))

    assert prompts_of(language)[:count] == sentences_of(language)
    assert len(topics) == 8 and not any("*" in prompt for prompt in prompts_of(language))
    assert coverage(language, topics) == 0


def test_english_sentences_have_every_letter() -> None:
    assert set("abcdefghijklmnopqrstuvwxyz") <= set("".join(prompts_of("en")).lower())
