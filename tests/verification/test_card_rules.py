"""The files beside a graph are those of its export, or verification says which is not."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.tools.standin_voice import metadata_of
from utils.verification.card_rules import CHECKSUM, check_files_beside, checksum_of_card
from utils.verification.checks import Check

GRAPH, INDEX = b"weights", b"vectors"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.onnx").write_bytes(GRAPH)
    (tmp_path / f"{metadata_of(num_speakers=1).name}.index").write_bytes(INDEX)
    files = [{"name": "a.onnx", "sha256": sha256(GRAPH)}]
    files += [{"name": f"{metadata_of(num_speakers=1).name}.index", "sha256": sha256(INDEX)}]
    files += [{"name": "absent.onnx", "sha256": sha256(b"")}, {"name": "../a.onnx", "sha256": "0"}]
    card = {"voice": {"name": "a"}, "files": files}
    (tmp_path / "card.json").write_text(json.dumps(card | {CHECKSUM: checksum_of_card(card)}), "utf-8")
    return tmp_path


def checked(folder: Path, *, is_ours: bool = True) -> Check:
    metadata = replace(metadata_of(num_speakers=1), index_sha256=sha256(INDEX)) if is_ours else None
    return check_files_beside(SimpleNamespace(path=folder / "a.onnx", metadata=metadata))  # type: ignore[arg-type]


def card_of(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    card = json.loads((folder / "card.json").read_text("utf-8"))
    change(card)
    (folder / "card.json").write_text(json.dumps(card), "utf-8")


def test_files_as_they_were_exported_pass(folder: Path) -> None:
    assert checked(folder).outcome == "PASS"


def test_a_graph_alone_and_one_of_another_program_are_skipped(folder: Path) -> None:
    (folder / "card.json").unlink()
    assert checked(folder, is_ours=False).outcome == "SKIP"

    next(folder.glob("*.index")).unlink()
    assert checked(folder).outcome == "SKIP"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: (folder / "a.onnx").write_bytes(b"weighty"), "a.onnx is not the file that card.json describes"),
        (lambda folder: next(folder.glob("*.index")).write_bytes(b"x"), "is not the index that the graph states"),
        (lambda folder: card_of(folder, lambda card: card["voice"].update(name="b")), "changed after it was written"),
        (lambda folder: (folder / "card.json").write_text("[" * 9999, "utf-8"), "card.json cannot be read"),
        (lambda folder: card_of(folder, lambda card: card.update(files=3)), "card.json cannot be read"),
    ],
    ids=["graph", "index", "card", "no card", "no files"],
)
def test_what_is_not_as_stated_is_told(folder: Path, change: Callable[[Path], object], words: str) -> None:
    change(folder)

    check = checked(folder)

    assert check.outcome == "FAIL" and words in check.detail


def test_a_card_of_other_files_says_nothing_of_this_one(folder: Path) -> None:
    (folder / "a.onnx").rename(folder / "b.onnx")
    (folder / "a.onnx").write_bytes(b"another")
    beside = SimpleNamespace(path=folder / "b.onnx", metadata=None)

    assert check_files_beside(beside).outcome == "SKIP"  # type: ignore[arg-type]
