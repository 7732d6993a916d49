"""The reference names everything that there is: fields of files, errors, controls."""

import inspect
import re
from dataclasses import fields

import pytest

from tests.tools.document_tools import ROOT, read
from utils import errors
from utils.corpus.manifest import Clip
from utils.voice_file.controls import CONTROLS, SPEAKER_CONTROLS, SPECIAL_CONTROLS, Control
from utils.voice_file.metadata import StreamFacts, VoiceMetadata

ERRORS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__]


@pytest.mark.parametrize(
    ("page", "kind"),
    [
        ("docs/reference/dataset.md", Clip),
        ("docs/reference/exported_graph.md", VoiceMetadata),
        ("docs/reference/exported_graph.md", StreamFacts),
    ],
    ids=["clip", "metadata", "stream"],
)
def test_every_field_is_named(page: str, kind: type) -> None:
    text = read(page)

    assert not [field.name for field in fields(kind) if f"`{field.name}`" not in text]


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_is_named_with_its_exit_code(kind: type[errors.WorkbenchError]) -> None:
    text = read("docs/reference/errors.md")

    assert f"`{kind.__name__}`" in text
    assert f"| {kind.exit_code} |" in text


@pytest.mark.parametrize("controls", [CONTROLS, SPECIAL_CONTROLS], ids=["every voice", "some voices"])
def test_table_of_controls_is_that_of_the_code(controls: tuple[Control, ...]) -> None:
    rows = []
    for control in controls:
        high = "the last speaker" if control.name in SPEAKER_CONTROLS else f"{control.high:g}"
        rows.append(f"| `{control.name}` | {control.kind} | {control.low:g} to {high} | {control.meaning} |")
    table = "\n".join(rows)

    assert table in read("docs/reference/exported_graph.md"), f"write there:\n{table}"


def test_messages_of_troubleshooting_are_those_of_the_code() -> None:
    files = [ROOT / "Makefile", *(path for room in ("utils", "models") for path in (ROOT / room).rglob("*.py"))]
    source = "".join(path.read_text(encoding="utf-8") for path in files)
    seen = re.findall(r"^\| ([^|]+) \|", read("docs/guides/troubleshooting.md"), re.MULTILINE)
    quoted = [part.strip() for cell in seen for span in re.findall(r"`([^`]+)`", cell) for part in span.split("...")]

    assert quoted
    assert not [message for message in quoted if message not in source]
