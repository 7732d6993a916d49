"""Which recordings a recipe reads, and whom it keeps for validation."""

from pathlib import Path

import pytest

from recipes.content_encoder import prompts
from recipes.corpora import Corpus, choose_held_out, every_nth, list_recordings
from recipes.settings import CorpusSettings
from utils.config.fields import validate
from utils.errors import ConfigError, DataError


def test_corpus_is_name_folder_and_share(tmp_path: Path) -> None:
    corpus = validate(CorpusSettings, {"folder": str(tmp_path), "share": 0.12}).corpus("nl")

    assert corpus == Corpus("nl", tmp_path, 0.12)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "corpora.nl.folder"),
        ({"folder": "here"}, "corpora.nl.share"),
        ({"folder": "here", "share": 0}, "corpora.nl.share=0 is out of range"),
        ({"folder": "here", "share": "much"}, "corpora.nl.share=much"),
        ({"folder": "absent", "share": 1}, "corpora.nl.folder=absent is not a folder; docs/guides/content_encoder.md"),
        ({"folder": "here", "share": 1, "weight": 2}, "corpora.nl.weight"),
    ],
)
def test_bad_corpus_is_refused_with_its_key(values: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        validate(CorpusSettings, values, "corpora.nl").corpus("nl")

    assert "\n" not in str(caught.value)


def test_held_out_speakers_are_spread_in_numeric_order() -> None:
    speakers = {str(number) for number in range(1, 13)}

    assert choose_held_out(speakers, 3, "en") == {"3", "7", "11"}
    assert every_nth(speakers, 3) == ["3", "7", "11"]


def test_somebody_must_be_left_to_train_on() -> None:
    with pytest.raises(DataError, match="hold out fewer"):
        choose_held_out({"1", "2"}, 2, "en")


def test_linked_recordings_are_listed_once(tmp_path: Path) -> None:
    (tmp_path / "1-a.wav").touch()
    (tmp_path / "2-a.wav").touch()
    (tmp_path / "2-b.wav").symlink_to(tmp_path / "1-a.wav")

    found = list_recordings([Corpus("en", tmp_path, 1.0)], {"en": 1})

    assert [(item.speaker, item.is_held_out) for item in found] == [("1", False), ("2", True)]


def test_prompts_are_joined_until_nine_seconds(tmp_path: Path) -> None:
    for index in range(5):
        (tmp_path / f"{index}.g722").write_bytes(bytes(4 * prompts.BYTES_PER_SECOND))
    (tmp_path / "again.g722").symlink_to(tmp_path / "0.g722")

    groups = list(prompts.group_prompts(prompts.find_prompts(tmp_path)))

    assert [[path.stem for path in group] for group in groups] == [["0", "1", "2"], ["3", "4"]]
