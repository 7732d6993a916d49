"""Names that strangers give stay text in the card, and what it says of weights is what their own cards say."""

import re
from dataclasses import replace
from pathlib import Path

import markdown
import numpy as np
import onnxruntime
import pytest
import soundfile

from tests.tools.streaming_tools import RATE
from utils.export.card import write_cards
from utils.export.graph_kinds import ExportedGraph
from utils.export.markdown import code, plain
from utils.shipped import ROOT, licences_of, shipped_hashes
from utils.voice_file.speakers import Speaker

pytestmark = pytest.mark.slow  # makes and tries whole graphs

EVIL = (
    "<img src=x onerror=alert(1)> | 9 | 9\n\n# Verified by nobody\n<script>x</script> "
    "[a](javascript:x) `y` **z** ![i](u)"
)


@pytest.fixture(scope="module")
def exported(small_stream: ExportedGraph) -> ExportedGraph:
    return small_stream


def card_of(exported: ExportedGraph, folder: Path, **changes: object) -> str:
    graph = folder / exported.path.name
    graph.write_bytes(exported.path.read_bytes())
    changed = replace(exported, path=graph, metadata=replace(exported.metadata, **changes))  # type: ignore[arg-type]
    write_cards(folder, [changed], None)
    return (folder / "card.md").read_text(encoding="utf-8")


def test_names_are_neither_html_nor_markdown(exported: ExportedGraph, tmp_path: Path) -> None:
    plain_card = card_of(exported, tmp_path)

    text = card_of(
        exported,
        tmp_path,
        speakers=(Speaker(id=0, name=EVIL, f0_median_hz=100.0),),
        licence=EVIL,
        consent=EVIL,
        precision=EVIL,
        dataset_fingerprint=EVIL,
        encoder={"id": EVIL, "weights_sha256": EVIL, "look_ahead": EVIL},
        extra={"pretrained": {"generator": {"file": EVIL, "sha256": EVIL}}},
    )

    page = markdown.markdown(text, extensions=["tables", "fenced_code"])
    tags = set(re.findall(r"<(\w+)", page))
    assert tags <= {"h1", "h2", "h3", "p", "table", "thead", "tbody", "tr", "th", "td", "pre", "code", "ul", "li"}
    headings = [re.findall(r"^#+ .*$", card, re.MULTILINE) for card in (text, plain_card)]
    assert headings[0] == headings[1] + (["## What it was made from"] if "made from" not in plain_card else [])
    assert "<td>100</td>" in page  # the cells of the table of speakers are in their columns


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("my_voice_2", "my_voice_2"),
        ("_x_", "\\_x\\_"),
        ("a|b", "a\\|b"),
        ("Žofie (2)", "Žofie (2)"),
        ("a\x00\nb\u202e", "a b"),
        ("&lt;", "&amp;lt;"),
    ],
)
def test_signs_that_mean_something_are_written_otherwise(name: str, shown: str) -> None:
    assert plain(name) == shown
    assert code("a`|\nb") == "`a'/ b`"


@pytest.mark.parametrize("name", [name for name in shipped_hashes() if "discriminator" not in name])
def test_the_card_says_the_licences_of_shipped_weights(name: str, exported: ExportedGraph, tmp_path: Path) -> None:
    digest = shipped_hashes()[name]
    said = licences_of(digest)

    text = card_of(exported, tmp_path, encoder={"id": "x", "weights_sha256": digest})

    assert said is not None and "MIT" in said and plain(said) in text
    assert "not known to this program" in card_of(exported, tmp_path, encoder={"id": "x", "weights_sha256": "0" * 64})


def test_licences_in_short_name_every_licence_of_the_training_data() -> None:
    licences = re.compile(r"CC0 1\.0|CC[ -]BY(?:-SA)? \d\.0|BSD-like|MIT")
    for path in (ROOT / "models/weights/lite_base.md", ROOT / "utils/features/weights/content_builtin.md"):
        text = path.read_text(encoding="utf-8")
        rows = "\n".join(line for line in text.splitlines() if line.startswith("|"))
        (short,) = re.findall(r"^\| licences in short \| (.*) \|$", text, re.MULTILINE)
        assert {item.replace("CC-", "CC ") for item in licences.findall(rows)} == set(licences.findall(short))


def test_the_snippet_and_its_control_run_as_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from utils.export.card_text import OPTIONAL, USAGE

    calls: list[dict[str, np.ndarray]] = []

    class Session:
        def __init__(self, path: str) -> None:
            assert path == "a_sr16000_hop160_nfft640.onnx"

        def run(self, names: None, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
            for value in feed.values():  # as onnxruntime takes them
                onnxruntime.OrtValue.ortvalue_from_numpy(value)
            calls.append(feed)
            return [feed["audio"]]

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.chdir(tmp_path)
    soundfile.write("input.wav", np.zeros(RATE), RATE)
    snippet = USAGE.format(file='"a_sr16000_hop160_nfft640.onnx"', rate=RATE, controls="", more="", hint=OPTIONAL)
    with_control = re.sub(r"^# optional controls: ", "", snippet, flags=re.MULTILINE).replace(
        '"audio": ...', '"audio": audio.mean(1)[None]'
    )

    exec(compile(with_control, "card.md", "exec"), {})

    assert [sorted(feed) for feed in calls] == [["audio"], ["audio", "pitch_shift"]]
