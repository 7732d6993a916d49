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
