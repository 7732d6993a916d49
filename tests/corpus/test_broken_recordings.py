"""Stretches that are no sound are left out, and recordings that are none cost no other."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.tools.corpus_tools import RATE, make_job, write_sounds
from tests.tools.made_headers import wav
from utils.audio.frames import FRAME_RATE
from utils.audio.synthetic_speech import voice
from utils.config.preprocess import PreprocessJob
from utils.corpus.pipeline import prepare_dataset
from utils.corpus.reading import read_recording, without_spans
from utils.corpus.recording import Recording
from utils.corpus.slicing import Span


def read(folder: Path, audio: np.ndarray) -> tuple[Recording, np.ndarray, PreprocessJob]:
    soundfile.write(folder / "x.wav", audio, RATE, subtype="FLOAT")
    job = make_job(folder, folder / "data")
    recording = read_recording(folder / "x.wav", job.audio, job.preprocess, folder / "x.npy")
    return recording, np.load(folder / "x.npy"), job


@pytest.mark.parametrize("bad", [3000.0, -1e20, np.inf, np.nan])
def test_what_lies_around_a_broken_sample_is_left_out(tmp_path: Path, bad: float) -> None:
    sound = voice(6.0, RATE)
    sound[3 * RATE] = bad

    recording, waveform, job = read(tmp_path, sound)

    sound[3 * RATE] = 0
    whole, _, _ = read(tmp_path, sound)
    frame = 3 * FRAME_RATE
    assert not any(clip.first <= frame + 2 and frame - 2 < clip.end for clip in recording.clips)
    assert whole.num_frames - 10 < recording.num_frames < whole.num_frames
    assert len(waveform) == recording.num_frames * job.audio.hop_length
    assert recording.gain_db == pytest.approx(whole.gain_db, abs=0.1)
    assert recording.notes == ["1 samples are not finite or beyond +60 dBFS: what is around them is left out"]


def test_recording_that_is_mostly_broken_is_dropped(tmp_path: Path) -> None:
    sound = voice(2.0, RATE)
    sound[:RATE] = 5000

    soundfile.write(tmp_path / "x.wav", sound, RATE, subtype="FLOAT")
    job = make_job(tmp_path, tmp_path / "data")
    recording = read_recording(tmp_path / "x.wav", job.audio, job.preprocess, tmp_path / "x.npy")

    assert str(recording.problem).startswith(f"no recording: {RATE} of {2 * RATE} samples are not finite")
    assert not (tmp_path / "x.npy").exists()


@pytest.mark.parametrize(
    ("broken", "left"),
    [
        ([], [(0, 100), (200, 210)]),
        ([(40, 50)], [(0, 40), (50, 100), (200, 210)]),
        ([(10, 50), (70, 90)], [(50, 70), (200, 210)]),
        ([(0, 100)], [(200, 210)]),
        ([(90, 205)], [(0, 90)]),
        ([(30, 40), (39, 50)], [(0, 30), (50, 100), (200, 210)]),
        ([(100, 200)], [(0, 100), (200, 210)]),
    ],
)
def test_clips_keep_what_is_long_enough_beside_broken_frames(
    broken: list[tuple[int, int]], left: list[tuple[int, int]]
) -> None:
    clips = [Span(0, 100), Span(200, 210)]

    assert without_spans(clips, [Span(*span) for span in broken], shortest=20) == [Span(*span) for span in left]


@pytest.mark.slow
def test_recordings_that_are_none_cost_no_other(tmp_path: Path) -> None:
    source = tmp_path / "source"
    write_sounds(source, {f"good {index}.wav": voice(2.0, f0_hz=200, seed=index) for index in range(2)})
    (source / "rate.wav").write_bytes(wav(np.random.default_rng(0).bytes(20000), sample_rate=1))
    (source / "channels.wav").write_bytes(wav(np.random.default_rng(0).bytes(20000), channels=100))
    (source / "list.m4a").write_text(f"#EXTM3U\n#EXTINF:5.0,\n{source / 'good 0.wav'}\n#EXT-X-ENDLIST\n")
    with soundfile.SoundFile(source / "long.flac", "w", 4000, 1, subtype="PCM_16") as file:
        file.write(np.zeros(4000 * 60 * 60, np.int16))

    report = prepare_dataset(make_job(source, tmp_path / "data"))

    files: dict[str, dict[str, Any]] = {item["source"]: item for item in report["files"]}
    assert [name for name, item in files.items() if item["status"] == "used"] == ["good 0.wav", "good 1.wav"]
    for name, words in (
        ("rate.wav", "is no recording: its header says 1 Hz"),
        ("channels.wav", "is no recording: it has 100 channels"),
        ("list.m4a", "is not a sound file"),
        ("long.flac", "holds more than"),
    ):
        assert files[name]["problem"].startswith(words)
