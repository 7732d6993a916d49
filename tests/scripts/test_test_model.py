"""test_model.py as a user runs it: in its own process, where torch cannot be imported."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.tools.planted_graphs import node, write
from tests.tools.standin_voice import RATE, export_standin
from utils.audio.synthetic_speech import voice

ROOT = Path(__file__).resolve().parents[2]
BLOCKED = ("torch", "torchaudio", "pytorch_lightning", "librosa", "onnx")
WITHOUT_TORCH = f"""
import runpy, sys
sys.modules.update(dict.fromkeys({BLOCKED!r}))
sys.argv = ["test_model.py", *sys.argv[1:]]
sys.path.insert(0, {str(ROOT)!r})
runpy.run_path({str(ROOT / "test_model.py")!r}, run_name="__main__")
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", WITHOUT_TORCH, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A voice, a folder of recordings of several kinds, and a damaged one among them."""
    folder = tmp_path_factory.mktemp("user")
    export_standin(folder).path.rename(folder / "voice.onnx")
    recordings = folder / "recordings"
    (recordings / "süb").mkdir(parents=True)
    soundfile.write(recordings / "one.wav", voice(1.5, 16000), 16000)
    soundfile.write(recordings / "süb" / "two (stereo), [x].flac", np.stack([voice(1.0, 44100)] * 2, 1), 44100)
    (recordings / "broken.wav").write_text("this is no sound")
    return folder


@pytest.fixture(scope="module")
def finished(folder: Path) -> subprocess.CompletedProcess[str]:
    return run(folder, "onnx=voice.onnx", "audio=recordings", "output=out", "report=r.json", "pitch_shift=auto")


def test_a_broken_file_does_not_stop_the_rest(folder: Path, finished: subprocess.CompletedProcess[str]) -> None:
    assert finished.returncode == 2
    assert "FAILED broken.wav" in finished.stdout
    assert finished.stderr.strip() == "error: 1 recording(s) could not be converted: recordings/broken.wav"
    made = sorted(path.relative_to(folder / "out").as_posix() for path in (folder / "out").rglob("*.wav"))
    assert made == ["one.wav", "süb/two (stereo), [x].wav"]
    for name, seconds in (("one.wav", 1.5), ("süb/two (stereo), [x].wav", 1.0)):
        audio, rate = soundfile.read(folder / "out" / name)
        assert (rate, len(audio)) == (RATE, round(seconds * RATE))


def test_everything_is_printed(finished: subprocess.CompletedProcess[str]) -> None:
    for text in (
        "16000 Hz resampled to 8000 Hz",
        "stereo, 44100 Hz resampled",
        "optional input",
        "['batch', 'time']",
        "output as long as input",
        "speaker 0",
        "F0 correlation",
        "clipped",
        "RTF",
    ):
        assert text in finished.stdout


def test_the_report_holds_every_figure(folder: Path, finished: subprocess.CompletedProcess[str]) -> None:
    report = json.loads((folder / "r.json").read_text(encoding="utf-8"))

    assert report["graph"]["keeps_length"]
    assert report["graph"]["metadata"]["speakers"][1]["name"] == "speaker 1"
    assert {"rtf_1_thread", "rtf_2_threads"} <= set(report)
    assert [Path(row["file"]).name for row in report["files"]] == ["one.wav", "two (stereo), [x].flac"]
    first = report["files"][0]
    assert first["is_resampled"]
    assert first["has_same_length"]
    assert first["relative_change"] > 0.1
    assert first["pitch"]["correlation"] > -1
    # the recording's median is about 140 Hz, the metadata says 200
    assert first["controls"]["pitch_shift"] == pytest.approx(12 * np.log2(200 / 140), abs=1.5)
    assert [Path(row["file"]).name for row in report["failures"]] == ["broken.wav"]


@pytest.mark.slow
def test_one_file_can_be_given_a_name(folder: Path) -> None:
    finished = run(folder, "onnx=voice.onnx", "audio=recordings/one.wav", "output=mine.wav", "threads=1", "speaker=1")

    assert finished.returncode == 0, finished.stderr
    assert (folder / "mine.wav").is_file()
    assert (folder / "mine.json").is_file()


@pytest.mark.slow
def test_a_graph_that_breaks_the_length_rule_is_diagnosed(folder: Path, tmp_path: Path) -> None:
    ends = {"start": np.array([0]), "end": np.array([-1]), "axis": np.array([1])}
    graph = write(tmp_path, node("Slice", "sound", *ends), constants=ends)

    finished = run(tmp_path, f"onnx={graph}", f"audio={folder / 'recordings' / 'one.wav'}", "output=out", "threads=1")

    assert finished.returncode == 2
    assert "BROKEN for [1, 2, 3, 17, " in finished.stdout
    assert "FAILED one.wav: the graph made 11999 samples of 12000; out/one.wav holds them" in finished.stdout
    assert finished.stderr.strip().startswith("error: 1 recording(s) could not be converted: ")
    assert not json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))["files"][0]["has_same_length"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "error: onnx is missing."),
        (("onnx=voice.onnx",), "error: audio.path is missing."),
        (("onnx=none.onnx", "audio=recordings"), "error: none.onnx does not exist"),
        (("onnx=voice.onnx", "audio=nowhere"), "error: audio=nowhere does not exist"),
        (
            ("onnx=voice.onnx", "audio=recordings", "pitch_shift=high"),
            "error: pitch_shift=high must be auto, auto_octave or",
        ),
        (("onnx=voice.onnx", "audio=recordings", "speaker=nobody"), "error: speaker='nobody' is not in voice.onnx"),
        (("onnx=voice.onnx", "audio=recordings", "speed=2"), "speed"),
        (("onnx=voice.onnx", "audio=recordings", "report=recordings/one.wav"), "would replace recordings/one.wav"),
        (
            ("verify=voice.onnx", "report=voice.onnx"),
            "error: report=voice.onnx would replace voice.onnx, which is read",
        ),
        (("verify=voice.onnx", "report=voice.onnx/r.json"), "voice.onnx is a file; choose another report="),
        (("verify=voice.onnx", "threads=1"), "error: threads does nothing with verify="),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    finished = run(folder, *arguments)

    assert finished.returncode == 2
    assert message in finished.stderr
    assert len(finished.stderr.strip().splitlines()) <= 2
