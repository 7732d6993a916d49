"""Texts of strangers are parsed within limits, and nothing in them is resolved."""

from itertools import pairwise
from pathlib import Path

import pytest

from utils.config import from_yaml, to_yaml
from utils.config.stored_text import MAX_CHARACTERS, read_yaml_file
from utils.errors import FormatError


def refusal(text: object) -> str:
    with pytest.raises(FormatError) as caught:
        from_yaml(text, "config.yaml")
    assert "\n" not in str(caught.value) and "config.yaml" in str(caught.value)
    return str(caught.value)


def test_what_is_stored_reads_back() -> None:
    plain = {"a": {"b": [1, 2.5, None, True, "ä: #"]}, "c": {}, "rate": 1e-3, "date": "2026-01-01", "empty": ""}

    assert from_yaml(to_yaml(plain)) == plain
    assert from_yaml("") == {}


@pytest.mark.parametrize(
    "text",
    ["a: ${oc.env:SECRET}", "a: {b: ['x ${x} y']}", "${a}: 1", "a: '\\${b}'", "a: ${oc.decode:${oc.env:SECRET}}"],
)
def test_an_interpolation_is_refused_wherever_it_stands(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("SECRET", "s3cr3t")

    message = refusal(text)

    assert "nothing was resolved" in message and "s3cr3t" not in message


def test_aliases_are_refused_before_they_unfold() -> None:
    names = "abcdefghi"
    bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]\n" for before, name in pairwise(names)
    )

    assert "aliases" in refusal(bomb)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 40 + "]" * 40, "levels"),
        ("a: " + "[" * 5000 + "]" * 5000, "levels"),
        ("a: [" + "x," * 60_000 + "]", "parts"),
        ("x" * (MAX_CHARACTERS + 1), "characters"),
        ("a: !!python/object/apply:os.system ['true']", "tags"),
        ("a: !!binary aGFsbG8=", "tags"),
        ("a: 1\na: 2", "damaged"),
        ("a: [}", "damaged"),
        ("- 1", "no section"),
        ("5", "damaged"),
        ("true", "damaged"),
        ("a: b: c", "damaged"),
        ("a: 1\n---\nb: 2", "damaged"),
        ("a: \x00", "damaged"),
        (f"a: {'9' * 5000}", "damaged"),
        (7, "is no text"),
        (None, "is no text"),
    ],
)
def test_other_texts_are_one_line(text: object, reason: str) -> None:
    assert reason in refusal(text)


def test_a_file_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"a: \xff\xfe")

    with pytest.raises(FormatError, match="UTF-8"):
        read_yaml_file(path)
