"""Texts: every text that a page shows exists, and a translation has the places of its original."""

import ast
import re
import string
from pathlib import Path

import pytest

from studio.jobs import ENDED
from studio.texts import DEFAULT, Line, Texts, _flat, languages
from utils import errors
from utils.errors import ConfigError, WorkbenchError

ERRORS = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, WorkbenchError)}
STUDIO = Path(__file__).resolve().parents[2] / "studio"
SAID = re.compile(r"""\bsay\(\s*(f?)(["'])(.+?)\2""")


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_every_text_that_the_code_names_is_there() -> None:
    known = _flat(DEFAULT)
    absent = []
    for path in STUDIO.rglob("*.py"):
        for is_formatted, _, key in SAID.findall(path.read_text("utf-8")):
            pattern = re.sub(r"\\{[^}]*\\}", ".+", re.escape(key)) if is_formatted else re.escape(key)
            if not any(re.fullmatch(pattern, name) for name in known):
                absent.append(f"{path.name}: {key}")

    assert not absent


def lines_of(path: Path) -> set[str]:
    """Keys of the Lines that a file says without a place in them."""
    made = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
    own = [node for node in made if isinstance(node.func, ast.Name) and node.func.id == "Line"]
    return {str(node.args[0].value) for node in own if isinstance(node.args[0], ast.Constant)}


def test_every_line_is_there_and_each_that_is_there_is_said() -> None:
    said = set().union(*(lines_of(path) for path in STUDIO.rglob("*.py")))
    written = {key for key in _flat(DEFAULT) if key.startswith(("error.", "fact.", "machine."))}
    of_places = {"fact.pass", "fact.warn", "fact.fail", "fact.skip"}  # of what a rule of verification came to
    of_places |= {"machine.precision_native", "machine.precision_foreign"}

    assert said - set(_flat(DEFAULT)) == set()
    assert written - said == of_places


@pytest.mark.parametrize("path", sorted(STUDIO.rglob("*.py")), ids=lambda path: path.name)
def test_an_error_that_a_page_shows_is_a_line_of_the_languages(path: Path) -> None:
    if path.name in ("app.py", "safety.py"):  # before there is a page
        return
    made = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
    errors = [node for node in made if isinstance(node.func, ast.Name) and node.func.id in ERRORS]

    english = [ast.unparse(node) for node in errors if isinstance(node.args[0], ast.Constant | ast.JoinedStr)]

    assert english == []


def test_a_line_is_english_until_somebody_reads_it() -> None:
    room = Line("machine.room")
    line = Line("machine.disk_low", size="3.0", room=room)

    assert line == f"3.0 GB of the disk are free: {room}, soon."
    assert Texts("de").told(line).startswith("3.0 GB der Platte sind frei: leeren")
    assert Texts("zh").told(line).startswith("磁盘剩余 3.0 GB：请清空")


def test_an_error_is_told_in_the_language_of_the_page_and_its_hint_stays() -> None:
    error = ConfigError(Line("error.bin_gone", name="anna"), hint="make web")

    assert str(error) == "anna is no longer in the bin.\nType: make web"
    assert Texts("zh").told(error) == "anna 已不在回收站中。\nType: make web"
    assert Texts("de").told(ConfigError("seed=x is no number")) == "seed=x is no number"
    assert Texts("de").told((Line("fact.pass", number=2), Line("fact.skip", number=1))) == "2 bestanden, 1 ausgelassen"


def test_words_of_the_scripts_are_translated_where_they_are_known() -> None:
    assert Texts("de").word("steps") == "Schritte"
    assert Texts("de").word("furlongs") == "furlongs"


def test_every_state_of_a_job_has_a_word() -> None:
    say = Texts(DEFAULT)

    for state in (*ENDED, "queued", "running", "cancelling"):
        assert say(f"state.{state}")


@pytest.mark.parametrize("language", languages())
def test_a_translation_has_the_keys_and_places_of_the_original(language: str) -> None:
    own, original = _flat(language), _flat(DEFAULT)

    of_one = {key for key in own | original if key.endswith("_one")}  # not every language has another word for one
    assert set(own) - of_one == set(original) - of_one
    assert set(own) & of_one <= set(original)
    assert {key: places(text) for key, text in own.items()} == {key: places(original[key]) for key in own}


def test_what_a_translation_lacks_is_english(monkeypatch: pytest.MonkeyPatch) -> None:
    say = Texts("de")
    monkeypatch.delitem(say._texts, "nav.train")

    assert say("nav.train") == Texts("en")("nav.train")
    assert Texts("of no such language").language == DEFAULT


@pytest.mark.parametrize(
    ("language", "one", "two"),
    [("en", "1 dataset so far", "2 datasets so far"), ("zh", "目前有 1 个数据集", "目前有 2 个数据集")],
)
def test_a_count_of_one_has_its_own_words(language: str, one: str, two: str) -> None:
    say = Texts(language)

    assert (say("home.data_count", count=1), say("home.data_count", count=2)) == (one, two)


def test_machine_made_translations_say_so() -> None:
    assert all("machine" in _flat(language)["language"] for language in languages() if language != DEFAULT)
