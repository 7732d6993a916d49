"""Voices that the real scripts make for a comparison: which commands are run, and what is read back."""

import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.target_voices import TargetVoices, held_out_mel
from scripts import pipeline as pipeline_module
from utils.corpus.store import CorpusStore


def pretend(commands: list[list[str]], command: list[str], work: Path) -> float:
    """Make what a script would, and note its command."""
    commands.append(command)
    named = dict(item.split("=", 1) for item in command if "=" in item)
    root = Path(named.get("dataset.root", work / "datasets"))
    made = {
        "preprocess.py": root / named.get("dataset.name", "") / "dataset.json",
        "train.py": work / "runs" / named.get("run.name", "") / "metrics.json",
        "export_onnx.py": work / "exports" / named.get("name", "") / "card.json",
    }[command[0]]
    made.parent.mkdir(parents=True, exist_ok=True)
    made.write_text(json.dumps({"best": {"val/mel": 0.5}, "last": {"val/mel": 0.6}}))
    if command[0] == "export_onnx.py":
        (made.parent / "voice.onnx").touch()
    return 1.0


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    done: list[list[str]] = []
    store = SimpleNamespace(split=lambda part: [SimpleNamespace(source="a.wav")] if part == "val" else [])
    monkeypatch.setattr(CorpusStore, "open", lambda _: store)
    monkeypatch.setattr(pipeline_module, "run_script", partial(pretend, done))
    return done


def test_a_voice_is_prepared_trained_and_exported_once(tmp_path: Path, commands: list[list[str]]) -> None:
    for _ in range(2):
        voices = TargetVoices(Path("/speech"), tmp_path)
        held_out = voices.prepare()
        run = voices.train("short", ["pretrained=none"])
        onnx = voices.export("short")

    assert held_out == [Path("/speech/a.wav")]
    assert (run, onnx) == (tmp_path / "runs/short", tmp_path / "exports/short/voice.onnx")
    assert (held_out_mel(run), held_out_mel(run, "last")) == (0.5, 0.6)
    assert [command[0] for command in commands] == ["preprocess.py", "train.py", "export_onnx.py"]
    assert {"dataset.name=target", "run.name=short", "pretrained=none"} <= set(commands[1])


def test_datasets_may_be_of_part_of_the_recordings_and_elsewhere(tmp_path: Path, commands: list[list[str]]) -> None:
    voices = TargetVoices(Path("/speech"), tmp_path / "work", tmp_path / "root")

    held_out = voices.prepare("minute", ["preprocess.held_out_share=0.3"], source=Path("/part"))

    assert held_out == [Path("/part/a.wav")]
    assert {f"dataset.root={tmp_path / 'root'}", "dataset.source=/part", "dataset.name=minute"} <= set(commands[0])
