"""Trials of graphs and recordings that are not as they should be: each is reported, none ends the trial."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import soundfile
from onnx import helper

from tests.tools.planted_graphs import RATE, node, write
from tests.tools.standin_voice import export_standin, metadata_of
from utils.audio.synthetic_speech import voice
from utils.config.test_model import convert_job
from utils.errors import ConfigError, FormatError
from utils.inference.measures import PitchMeter, wrong_lengths
from utils.inference.session import WHOLE_SECONDS, VoiceSession
from utils.inference.trial import run_trial
from utils.voice_file.metadata import METADATA_KEY, VoiceMetadata


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Return a folder with a short recording and one that is converted in pieces."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    for name, seconds in (("long", WHOLE_SECONDS + 1), ("short", 1.0)):
        soundfile.write(folder / f"{name}.wav", voice(seconds, RATE), RATE)
    return folder


def one_sample_short(folder: Path) -> Path:
    """Write a graph that drops the last sample."""
    ends = {"start": np.array([0]), "end": np.array([-1]), "axis": np.array([1])}
    return write(folder, node("Slice", "sound", *ends), constants=ends)


def not_a_number(folder: Path) -> Path:
    """Write a graph that answers everything with NaN."""
    return write(folder, node("Mul", "sound", "nan"), constants={"nan": np.float32(np.nan)})


def failing(folder: Path) -> Path:
    """Write a graph that fails on all but one and seven samples."""
    return write(folder, node("Add", "sound", "seven"), constants={"seven": np.zeros((1, 7), np.float32)})


def with_metadata(folder: Path, metadata: VoiceMetadata) -> Path:
    """Write the stand-in voice with other metadata."""
    path = export_standin(folder).path
    model = onnx.load(str(path))
    helper.set_model_props(model, {METADATA_KEY: metadata.to_json()})
    onnx.save(model, str(path))
    return path


def tried(graph: Path, recordings: Path, **values: Any) -> tuple[dict[str, Any], list[str]]:
    """Run a trial; return the report as it was written, and the lines that were announced."""
    lines: list[str] = []
    output = recordings.parent / "out"
    places = {"onnx": str(graph), "audio.path": str(recordings), "output": str(output)}
    run_trial(convert_job(["threads=1"]).with_values(places | values), lines.append)
    return json.loads((output / "report.json").read_text(encoding="utf-8")), lines


@pytest.mark.slow
def test_a_graph_that_drops_a_sample_is_reported_for_each_recording(tmp_path: Path, recordings: Path) -> None:
    report, lines = tried(one_sample_short(tmp_path), recordings)

    assert report["graph"]["keeps_length"] is False
    assert 4410 in report["graph"]["wrong_lengths"]
    (row,) = report["files"]
    assert (row["has_same_length"], row["relative_change"]) == (False, None)
    assert soundfile.info(recordings.parent / "out" / "short.wav").frames == RATE - 1
    reasons = {Path(item["file"]).name: item["reason"] for item in report["failures"]}
    assert reasons["short.wav"].startswith("the graph made 7999 samples of 8000; ")
    assert "samples of a piece of" in reasons["long.wav"]
    assert [line.split(":")[0] for line in lines if line.startswith("FAILED")] == [
        "FAILED long.wav",
        "FAILED short.wav",
    ]
    assert report["speed"][0]["real_time_factor"] > 0


@pytest.mark.slow
def test_a_graph_that_makes_no_numbers_is_reported_and_nothing_is_written(tmp_path: Path, recordings: Path) -> None:
    report, _ = tried(not_a_number(tmp_path), recordings)

    assert [Path(item["file"]).name for item in report["failures"]] == ["long.wav", "short.wav"]
    assert report["failures"][1]["reason"].startswith("8000 of 8000 samples of the output are not finite")
    assert report["files"] == report["speed"] == []
    assert [path.name for path in (recordings.parent / "out").iterdir()] == ["report.json"]


@pytest.mark.slow
def test_a_graph_that_fails_is_reported(tmp_path: Path, recordings: Path) -> None:
    graph = failing(tmp_path)

    report, _ = tried(graph, recordings)

    assert report["graph"]["wrong_lengths"] == wrong_lengths(VoiceSession.open(graph))
    assert {1, 17, 4410} <= set(report["graph"]["wrong_lengths"])  # seven samples come of one, the others fail
    assert all(f"{graph.name} failed: " in item["reason"] for item in report["failures"])
    assert len(report["failures"]) == 2


@pytest.mark.slow
def test_speed_that_cannot_be_measured_is_no_end(
    tmp_path: Path, recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(session: VoiceSession, audio: np.ndarray) -> None:
        raise FormatError("tiny.onnx failed: no memory")

    monkeypatch.setattr("utils.inference.trial.measure_speed", measure)

    report, lines = tried(write(tmp_path), recordings)

    assert report["speed"] == []
    assert len(report["files"]) == 2
    assert lines[-1] == "speed was not measured: tiny.onnx failed: no memory"


def test_an_output_that_is_no_audio_is_one_line(tmp_path: Path) -> None:
    shape: list[Any] = ["batch", 1, "time"]
    constants = {"axis": np.array([1])}
    session = VoiceSession.open(
        write(tmp_path, node("Unsqueeze", "sound", "axis"), constants=constants, output_shape=shape)
    )

    with pytest.raises(FormatError, match=r"made \[1, 1, 5\] of audio \[1, 5\]; it must give \[batch, time\]"):
        session.run(np.zeros(5, np.float32))


def test_audio_that_is_too_short_for_a_pitch_has_none() -> None:
    assert len(PitchMeter().track(np.ones(1, np.float32), 48000).f0_hz) == 0


def test_a_name_that_is_no_utf_8_can_be_reported(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    strange = os.fsdecode(b"caf\xe9")
    for suffix, content in ((".wav", b""), (".flac", b"no sound")):
        (folder / f"{strange}{suffix}").write_bytes(content)
    with (folder / f"{strange} 2.wav").open("wb") as stream:
        soundfile.write(stream, voice(0.5, RATE), RATE, format="WAV")

    report, lines = tried(write(tmp_path), folder)

    assert [Path(item["file"]).name for item in report["files"]] == ["caf\ufffd 2.wav"]
    assert [Path(item["file"]).name for item in report["failures"]] == ["caf\ufffd.flac", "caf\ufffd.wav"]
    assert (tmp_path / "out" / f"{strange} 2.wav").is_file()
    assert len(lines) == 3


@pytest.mark.slow
def test_sound_with_another_ending_is_left_out_and_named(tmp_path: Path, recordings: Path) -> None:
    take = recordings / "take.bin"
    (recordings / "short.wav").rename(take)

    report, lines = tried(write(tmp_path), recordings)

    assert report["left_out"] == [str(take)]
    assert lines[0] == f"left out {take}: it holds sound, but its name ends otherwise; rename it, for example to .wav"
    assert [Path(row["file"]).name for row in report["files"]] == ["long.wav"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"index_rate": 0.5}, "index_rate=0.5 does nothing: .*onnx has no codebook .*; leave it out"),
        ({"protect": 0.2}, "protect=0.2 does nothing"),
        ({"pitch_shift": "auto"}, "pitch_shift=auto does nothing: .*onnx is not told the pitch"),
    ],
)
def test_controls_that_do_nothing_are_refused(
    tmp_path: Path, recordings: Path, values: dict[str, Any], message: str
) -> None:
    idle = {"idle_controls": ["index_rate", "pitch_shift", "protect"]}
    graph = with_metadata(tmp_path, replace(metadata_of(), extra=idle))

    with pytest.raises(ConfigError, match=message) as caught:
        tried(graph, recordings, **values)

    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("extra", "value"),
    [({}, 0.5), ({"idle_controls": []}, 0.5), ({"idle_controls": 3}, 0.5), ({"idle_controls": ["index_rate"]}, 0.0)],
    ids=["nothing is said", "none is idle", "no list", "0 is what is so anyway"],
)
def test_other_controls_are_taken(tmp_path: Path, recordings: Path, extra: dict[str, Any], value: float) -> None:
    (recordings / "long.wav").unlink()
    graph = with_metadata(tmp_path, replace(metadata_of(), extra=extra))

    report, _ = tried(graph, recordings, index_rate=value)

    assert report["files"][0]["controls"] == {"index_rate": value}
