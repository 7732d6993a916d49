"""What converts and verifies needs no torch, and neither the package onnx nor the rest of a training's libraries."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCKED = ("torch", "torchaudio", "pytorch_lightning", "librosa", "onnx", "onnxsim", "faiss", "tensorboard")
IMPORT_ALL = """
import importlib, pkgutil, sys
sys.modules.update(dict.fromkeys({blocked!r}))
sys.path.insert(0, {root!r})
room = importlib.import_module({room!r})
for item in pkgutil.iter_modules(room.__path__):
    importlib.import_module(f"{{room.__name__}}.{{item.name}}")
"""


@pytest.mark.parametrize("room", ["utils.voice_file", "utils.verification", "utils.inference"])
def test_every_module_of_a_room_can_be_imported_without_them(room: str) -> None:
    code = IMPORT_ALL.format(blocked=BLOCKED, root=str(ROOT), room=room)

    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert finished.returncode == 0, finished.stderr
