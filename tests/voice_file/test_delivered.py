"""A graph whose bytes are not those of its card is told."""

import hashlib
import json
from pathlib import Path

import pytest

from utils.voice_file.delivered import changed_since_export


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    path = tmp_path / "a.onnx"
    path.write_bytes(b"weights")
    entry = {"name": "a.onnx", "bytes": 7, "sha256": hashlib.sha256(b"weights").hexdigest()}
    (tmp_path / "card.json").write_text(json.dumps({"files": [entry]}), "utf-8")
    return path


def test_graph_as_it_was_exported_says_nothing(graph: Path) -> None:
    assert changed_since_export(graph) is None


def test_changed_byte_is_told_in_one_line(graph: Path) -> None:
    graph.write_bytes(b"weighty")

    told = changed_since_export(graph)

    assert told is not None and told.startswith(str(graph)) and "card.json" in told and "\n" not in told


@pytest.mark.parametrize("card", [None, "", "[]", '{"files": 3}', '{"files": [{"name": "a.onnx"}]}', "[" * 100_000])
def test_graph_without_a_card_that_tells_is_taken_as_it_is(graph: Path, card: str | None) -> None:
    graph.write_bytes(b"weighty")
    (graph.parent / "card.json").unlink()
    if card is not None:
        (graph.parent / "card.json").write_text(card, "utf-8")

    assert changed_since_export(graph) is None


def test_file_that_the_card_does_not_name_is_taken_as_it_is(graph: Path) -> None:
    other = graph.with_name("b.onnx")
    other.write_bytes(b"anything")

    assert changed_since_export(other) is None
