"""test_model.py works in the environment of those who only convert: no PyTorch, no scipy, no onnx."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import soundfile

from tests.tools.phone_recordings import write_recording
from tests.tools.planted_graphs import NAME, speaking, write
from utils.audio.synthetic_speech import voice

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-inference" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
ABSENT = ("torch", "scipy", "librosa", "onnx", "faiss")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON.is_file(), reason="there is no .venv-inference: make venv-inference"),
]


def run(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [PYTHON, *arguments], cwd=folder, capture_output=True, encoding="utf-8", check=False, timeout=120
    )
    assert done.returncode == 0, f"{arguments}: {done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


def test_the_environment_is_light(tmp_path: Path) -> None:
    code = f"import importlib.util; print(*[name for name in {ABSENT!r} if importlib.util.find_spec(name)])"

    assert run(tmp_path, "-c", code).split() == []


def test_recordings_are_converted(tmp_path: Path) -> None:
    graph = write(tmp_path)
    (tmp_path / "recordings").mkdir()
    soundfile.write(tmp_path / "recordings" / "a.wav", voice(1.0), 16000)
    write_recording(tmp_path / "recordings" / "phone.m4a", voice(1.0, 44100), 44100, "aac")

    run(tmp_path, str(ROOT / "test_model.py"), f"onnx={graph}", "audio=recordings", "output=converted")

    assert sorted(path.name for path in (tmp_path / "converted").glob("*.wav")) == ["a.wav", "phone.wav"]
    (pitch, _) = [item["pitch"] for item in json.loads((tmp_path / "converted" / "report.json").read_text())["files"]]
    assert pitch["num_frames"] > 0


def test_a_graph_is_verified(tmp_path: Path) -> None:
    graph = speaking(tmp_path)

    text = run(tmp_path, str(ROOT / "test_model.py"), f"verify={graph}", "verify_minutes=0.05", "verify_blocks=20")

    assert f"verdict: {NAME} holds all" in text


def test_help_is_there(tmp_path: Path) -> None:
    assert "onnx" in run(tmp_path, str(ROOT / "test_model.py"), "--help")
