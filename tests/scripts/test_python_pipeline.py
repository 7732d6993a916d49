"""The examples of docs/tutorials/python_pipeline.md do what they say, in a folder with a voice and recordings."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from scripts.readme import python_blocks
from tests.tools.standin_voice import export_standin
from utils.audio.synthetic_speech import voice

ROOT = Path(__file__).resolve().parents[2]
FILES, ARRAYS, BATCH, SERVICE = python_blocks((ROOT / "docs/tutorials/python_pipeline.md").read_text("utf-8"))
ASK = """
from fastapi.testclient import TestClient
from service import app
client = TestClient(app)
song = open("song.wav", "rb").read()
answer = client.post("/convert?pitch=3", content=song, headers={"content-type": "audio/wav"})
assert answer.status_code == 200 and answer.content[:4] == b"fLaC", answer.text
wrong = client.post("/convert?speaker=nobody", content=song, headers={"content-type": "audio/wav"})
assert wrong.status_code == 422 and "nobody" in wrong.text
assert client.post("/convert", content=b"no sound", headers={"content-type": "audio/wav"}).status_code == 422
assert client.get("/statistics").json()["conversions"] == 1
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tutorial")
    (folder / "exports" / "alice").mkdir(parents=True)
    export_standin(folder / "exports" / "alice")
    (folder / "songs").mkdir()
    for number in range(2):
        soundfile.write(folder / "songs" / f"{number}.wav", voice(1.0, 24000, seed=number), 24000)
    soundfile.write(folder / "song.wav", voice(1.0, 24000), 24000)
    return folder


def run(folder: Path, code: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_files_are_converted(folder: Path) -> None:
    said = run(folder, FILES)

    assert sorted(path.name for path in (folder / "converted").iterdir()) == ["0.flac", "1.flac"]
    assert said.count("of real time") == 2


@pytest.mark.slow
def test_arrays_tell_their_progress(folder: Path) -> None:
    assert "convert 100%" in run(folder, ARRAYS)


@pytest.mark.slow
def test_batches_say_their_device(folder: Path) -> None:
    said = run(folder, BATCH)

    assert said.startswith("on cpu")
    assert "num_conversions=2" in said


@pytest.mark.slow
@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("fastapi", "httpx"))), reason="pip install fastapi httpx brings the service"
)
def test_service_answers_and_explains(folder: Path) -> None:
    (folder / "service.py").write_text(SERVICE, encoding="utf-8")

    run(folder, ASK)


def test_examples_are_as_short_as_they_promise() -> None:
    lengths = [len([line for line in block.splitlines() if line.strip()]) for block in (FILES, ARRAYS, BATCH, SERVICE)]

    assert all(length <= limit for length, limit in zip(lengths, (10, 10, 10, 30), strict=True)), lengths
