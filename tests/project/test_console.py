"""What is written to standard output."""

import io
import sys

import pytest

from utils.console import emit


def test_a_file_name_that_is_no_utf_8_can_be_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="utf-8", errors="strict"))

    emit("caf\udce9.wav -> süß")

    assert shown.getvalue().decode("utf-8") == "caf\ufffd.wav -> süß\n"


@pytest.mark.parametrize(("encoding", "line"), [("cp1252", "?.wav -> süß"), ("ascii", "?.wav -> s??")])
def test_a_console_that_holds_some_letters_only_shows_those(
    encoding: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding=encoding, errors="strict", newline="\n"))

    emit("声.wav -> süß")

    assert shown.getvalue().decode(encoding) == line + "\n"
