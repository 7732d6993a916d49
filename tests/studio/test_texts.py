"""Texts: every text that a page shows exists, and a translation has the places of its original."""

import re
import string
from pathlib import Path

import pytest

from studio.jobs import ENDED
from studio.texts import DEFAULT, Texts, _flat, languages

STUDIO = Path(__file__).resolve().parents[2] / "studio"
SAID = re.compile(r"""\bsay\(\s*(f?)"([^"]+)\"""")


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_every_text_that_the_code_names_is_there() -> None:
    known = _flat(DEFAULT)
    absent = []
    for path in STUDIO.rglob("*.py"):
        for is_formatted, key in SAID.findall(path.read_text("utf-8")):
            pattern = re.sub(r"\\{[^}]*\\}", ".+", re.escape(key)) if is_formatted else re.escape(key)
            if not any(re.fullmatch(pattern, name) for name in known):
                absent.append(f"{path.name}: {key}")

    assert not absent


def test_every_state_of_a_job_has_a_word() -> None:
    say = Texts(DEFAULT)

    for state in (*ENDED, "queued", "running", "cancelling"):
        assert say(f"state.{state}")


@pytest.mark.parametrize("language", languages())
def test_a_translation_has_the_keys_and_places_of_the_original(language: str) -> None:
    own, original = _flat(language), _flat(DEFAULT)

    assert set(own) <= set(original)
    assert {key: places(text) for key, text in own.items()} == {key: places(original[key]) for key in own}


def test_what_a_translation_lacks_is_english(monkeypatch: pytest.MonkeyPatch) -> None:
    say = Texts("de")
    monkeypatch.delitem(say._texts, "nav.train")

    assert say("nav.train") == Texts("en")("nav.train")
    assert Texts("of no such language").language == DEFAULT


def test_machine_made_translations_say_so() -> None:
    assert all("machine" in _flat(language)["language"] for language in languages() if language != DEFAULT)
