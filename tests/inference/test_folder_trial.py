"""A folder of recordings: several at a time, gone on with where it ended, in any format, with what failed named."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.tools.planted_graphs import RATE, write
from utils.audio.decoder_process import read_tags
from utils.audio.synthetic_speech import voice
from utils.audio.writing import SOUND_FORMATS, open_writer
from utils.config.test_model import convert_job
from utils.errors import ConfigError
from utils.inference.trial import run_trial

NAMES = ["a", "b", "c", "d", "e"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a voice that rectifies and five short recordings, the fourth of which is none."""
    write(tmp_path)
    (tmp_path / "in").mkdir()
    for number, name in enumerate(NAMES):
        soundfile.write(tmp_path / "in" / f"{name}.wav", voice(0.3, RATE, seed=number), RATE)
    (tmp_path / "in" / "d.wav").write_text("no sound")
    return tmp_path


def tried(folder: Path, **values: Any) -> tuple[dict[str, Any], list[str]]:
    lines: list[str] = []
    graph = next(folder.glob("*.onnx"))
    places = {"onnx": str(graph), "audio.path": str(folder / "in"), "output": str(folder / "out")}
    run_trial(convert_job(["threads=1"]).with_values(places | values), lines.append)
    return json.loads((folder / "out" / "report.json").read_text(encoding="utf-8")), lines


def without_times(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if "real_time" not in key} for row in rows]


def test_several_at_a_time_give_what_one_gives(folder: Path) -> None:
    alone, _ = tried(folder)
    first = {path.name: path.read_bytes() for path in (folder / "out").glob("*.wav")}

    together, _ = tried(folder, workers=3)

    assert without_times(alone["files"]) == without_times(together["files"])
    assert alone["failures"] == together["failures"]
    assert [Path(item["file"]).name for item in together["failures"]] == ["d.wav"]
    assert {path.name: path.read_bytes() for path in (folder / "out").glob("*.wav")} == first


def test_second_call_goes_on_where_the_first_ended(folder: Path) -> None:
    tried(folder)
    (folder / "out" / "b.wav").unlink()
    soundfile.write(folder / "in" / "c.wav", voice(0.4, RATE), RATE)
    soundfile.write(folder / "in" / "d.wav", voice(0.3, RATE), RATE)

    report, lines = tried(folder, resume=True)

    assert [line.split(":")[0] for line in lines if "converted before" in line] == ["a.wav", "e.wav"]
    assert [Path(row["file"]).stem for row in report["files"]] == NAMES
    assert report["failures"] == []
    assert report["files"][2]["seconds"] == 0.4
    assert not list((folder / "out").glob("*.jsonl"))


@pytest.mark.parametrize("values", [{"output_rate": 16000}, {"channels": "keep"}, {"tags": False}])
def test_other_settings_are_not_gone_on_with(folder: Path, values: dict[str, Any]) -> None:
    tried(folder)

    _, lines = tried(folder, resume=True, **values)

    assert not [line for line in lines if "converted before" in line]


def test_killed_call_leaves_what_it_did(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("utils.inference.trial.measure_speed", killed)
    with pytest.raises(KeyboardInterrupt):
        tried(folder)
    monkeypatch.undo()
    assert not (folder / "out" / "report.json").exists()

    _, lines = tried(folder, resume=True)

    assert len([line for line in lines if "converted before" in line]) == 4


def test_format_rate_channels_and_tags_are_chosen(folder: Path) -> None:
    for path in (folder / "in").iterdir():
        path.unlink()
    audio = np.stack([voice(0.3, 44100), voice(0.3, 44100, seed=1)], axis=1)
    with open_writer(
        folder / "in" / "x.flac", SOUND_FORMATS["flac"], sample_rate=44100, num_channels=2, tags={"title": "Song"}
    ) as write_sound:
        write_sound(audio)

    report, _ = tried(folder, format="wav24", output_rate=48000, channels="keep")

    (row,) = report["files"]
    info = soundfile.info(row["output"])
    assert (info.subtype, info.samplerate, info.channels, info.frames) == ("PCM_24", 48000, 2, 14400)
    assert read_tags(Path(row["output"])) == {"title": "Song"}
    assert row["rate"] == 48000


def test_one_recording_may_be_given_a_name_of_any_format(folder: Path) -> None:
    lines: list[str] = []
    given = {"onnx": str(next(folder.glob("*.onnx"))), "audio.path": str(folder / "in" / "a.wav")}

    report = run_trial(convert_job(["threads=1"]).with_values(given | {"output": str(folder / "x.opus")}), lines.append)

    assert soundfile.info(folder / "x.opus").subtype == "OPUS"
    assert report["report"] == str(folder / "x.json")
    with pytest.raises(ConfigError, match=r"output=.*y\.mp3 does not end with \.flac, as files of format=flac do"):
        values = {"output": str(folder / "y.mp3"), "format": "flac"}
        run_trial(convert_job(["threads=1"]).with_values(given | values), lines.append)
