"""cover.py: the vocals of a song are converted, mixed with the rest, and as loud as the song was."""

import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from tests.covers.test_separating import PROGRAM
from tests.tools.standin_voice import export_standin
from utils.audio.synthetic_speech import voice
from utils.config.cover import CoverJob, LeadSeparator, Separator, cover_job
from utils.covers import stereo
from utils.covers.program import run_cover
from utils.covers.stereo import loudness
from utils.errors import ConfigError, DataError

RATE = 16000
SECONDS = 1.5


class PowerMeter:
    """Stands for pyloudnorm's: loudness without weights and gates."""

    def __init__(self, rate: int) -> None: ...

    def integrated_loudness(self, audio: np.ndarray) -> float:
        return -0.691 + 10 * math.log10(np.square(audio, dtype=np.float64).mean(axis=0).sum())


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_standin(tmp_path_factory.mktemp("voice")).path


@pytest.fixture(autouse=True)
def _meter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stereo, "loudness_package", lambda: SimpleNamespace(Meter=PowerMeter))
    monkeypatch.setattr("utils.covers.program.loudness_package", lambda: None)


def noise(seed: int, level: float) -> np.ndarray:
    return level * np.random.default_rng(seed).standard_normal((round(SECONDS * RATE), 2)).astype(np.float32)


def song_in(folder: Path, graph: Path, **changes: object) -> CoverJob:
    """Write vocals at 100 Hz and an instrumental that is a little longer; return the job."""
    sung = voice(SECONDS - 0.1, RATE, f0_hz=100.0)
    soundfile.write(folder / "vocals.wav", sung, RATE, subtype="FLOAT")
    soundfile.write(folder / "rest.wav", noise(1, 0.05), RATE, subtype="FLOAT")
    job = cover_job(["vocals=v", "instrumental=i", "voice=a"])
    paths = {"vocals": folder / "vocals.wav", "instrumental": folder / "rest.wav", "output": folder / "made" / "c.wav"}
    return job.model_copy(update={"voice": graph, **paths, **changes})


def made_by(job: CoverJob) -> list[str]:
    """Run a job and return the steps that were made."""
    lines: list[str] = []
    run_cover(job, lines.append)
    return [line.partition(":")[0] for line in lines if ": made in" in line]


def read(path: Path | None) -> np.ndarray:
    assert path is not None
    audio, _ = soundfile.read(path, dtype="float32", always_2d=True)
    return np.asarray(audio)


@pytest.mark.slow
def test_song_is_as_long_and_as_loud_as_its_parts_and_an_octave_higher(tmp_path: Path, graph: Path) -> None:
    job = song_in(tmp_path, graph)
    lines: list[str] = []
    run_cover(job, lines.append)

    made, parts = (
        read(job.output),
        stereo.together([stereo.read_stereo(tmp_path / name, RATE) for name in ("vocals.wav", "rest.wav")]),
    )
    assert made.shape == parts.shape
    assert loudness(made, RATE) == pytest.approx(loudness(parts, RATE), abs=0.1)
    assert np.abs(made).max() <= 10 ** (-0.5 / 20) + 1e-4
    assert "pitch +12 semitones" in lines[-1]  # to the 200 Hz of the voice
    figures = json.loads((tmp_path / "made" / "c.cover.json").read_text())["figures"]
    assert figures["pitch_shift"] == 12 and figures["lufs"] == pytest.approx(figures["target_lufs"], abs=0.1)


@pytest.mark.slow
def test_converted_vocals_are_as_loud_as_they_were(tmp_path: Path, graph: Path) -> None:
    run_cover(song_in(tmp_path, graph), lambda _: None)

    (finished,) = (tmp_path / "made" / "parts").glob("lead_finished.*.wav")
    original = loudness(stereo.read_stereo(tmp_path / "vocals.wav", RATE), RATE)
    assert loudness(read(finished), RATE) == pytest.approx(original, abs=0.01)


@pytest.mark.slow
def test_only_what_a_changed_setting_concerns_is_made_again(tmp_path: Path, graph: Path) -> None:
    job = song_in(tmp_path, graph)

    assert made_by(job) == ["lead_converted", "lead_finished", "mix"]
    first = read(job.output)
    assert made_by(job) == []
    assert made_by(job.model_copy(update={"instrumental_gain_db": -6.0})) == ["mix"]
    assert not np.array_equal(read(job.output), first)
    assert made_by(job) == []
    np.testing.assert_array_equal(read(job.output), first)
    assert made_by(job.model_copy(update={"pitch_shift": 0.0})) == ["lead_converted", "lead_finished", "mix"]
    soundfile.write(tmp_path / "rest.wav", noise(2, 0.05), RATE, subtype="FLOAT")
    assert made_by(job) == ["mix"]


@pytest.mark.slow
def test_part_that_was_cut_off_is_made_again(tmp_path: Path, graph: Path) -> None:
    job = song_in(tmp_path, graph)
    made_by(job)
    (path,) = (tmp_path / "made" / "parts").glob("lead_converted.*.wav")
    whole = path.read_bytes()
    path.write_bytes(whole[:1000])

    assert made_by(job) == ["lead_converted"]
    assert path.read_bytes() == whole


@pytest.mark.slow
def test_backing_voices_stay_or_are_sung_too(tmp_path: Path, graph: Path) -> None:
    soundfile.write(tmp_path / "choir.wav", noise(3, 0.02)[:, :1], RATE, subtype="FLOAT")
    job = song_in(tmp_path, graph, backing=tmp_path / "choir.wav", pitch_shift=0.0)

    assert made_by(job) == ["lead_converted", "lead_finished", "mix"]
    assert made_by(job.model_copy(update={"convert_backing": True})) == ["backing_converted", "backing_finished", "mix"]


@pytest.mark.slow
def test_loudness_is_that_of_the_song_where_it_is_given(tmp_path: Path, graph: Path) -> None:
    soundfile.write(tmp_path / "song.flac", noise(4, 0.2), RATE)
    job = song_in(tmp_path, graph, song=tmp_path / "song.flac")
    run_cover(job, lambda _: None)

    assert loudness(read(job.output), RATE) == pytest.approx(loudness(read(job.song), RATE), abs=0.1)


@pytest.mark.slow
def test_song_is_taken_apart_once(tmp_path: Path, graph: Path) -> None:
    (tmp_path / "split.py").write_text(PROGRAM)
    both = stereo.together([stereo.read_stereo(song_in(tmp_path, graph).vocals or Path(), RATE), noise(5, 0.01)])
    soundfile.write(tmp_path / "song.wav", both, RATE)
    command = f"'{sys.executable}' '{tmp_path / 'split.py'}' {{song}} {{folder}}"
    found = {"command": command, "vocals": "**/*(Vocals)*", "rest": "**/*(Instrumental)*"}
    changes = {"vocals": None, "instrumental": None, "song": tmp_path / "song.wav", "convert_backing": True}
    separators = {"separator": Separator(**found), "lead_separator": LeadSeparator(**found)}
    job = song_in(tmp_path, graph, **changes, **separators)

    steps = ["vocals, instrumental", "lead, backing", "lead_converted", "lead_finished", "backing_converted"]
    assert made_by(job) == [*steps, "backing_finished", "mix"]
    assert made_by(job.model_copy(update={"peak_db": -3.0})) == ["mix"]
    assert len(read(job.output)) == len(both)


@pytest.mark.slow
def test_inputs_are_never_written_to(tmp_path: Path, graph: Path) -> None:
    job = song_in(tmp_path, graph)
    with pytest.raises(ConfigError, match=r"output=.*would replace"):
        run_cover(job.model_copy(update={"output": job.vocals}), lambda _: None)
    with pytest.raises(DataError, match=r"instrumental=.*none\.wav does not exist"):
        run_cover(job.model_copy(update={"instrumental": tmp_path / "none.wav"}), lambda _: None)
    with pytest.raises(DataError, match="must end with"):
        run_cover(job.model_copy(update={"output": tmp_path / "a.xyz"}), lambda _: None)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["vocals=v", "instrumental=i"], "(?s)voice is missing.*Type: python cover.py"),
        (["voice=a"], "vocals is missing"),
        (["voice=a", "vocals=v", "song=s"], "instrumental is missing; give it"),
        (["voice=a", "song=s"], "song=s must be taken apart; add separator=demucs"),
        (["voice=a", "vocals=v", "instrumental=i", "separator=demucs"], "separator.command does nothing"),
        (
            ["voice=a", "song=s", "separator.command=split {song}"],
            r"separator.command=split \{song\} has no \{folder\}",
        ),
        (["voice=a", "vocals=v", "instrumental=i", "convert_backing=true"], "needs backing voices"),
        (
            ["voice=a", "vocals=v", "instrumental=i", "backing=b", "lead_separator=audio_separator"],
            "both give the backing voices",
        ),
        (["voice=a", "vocals=v", "instrumental=i", "effects.reverb_share=2"], "effects.reverb_share=2 is out of range"),
    ],
)
def test_what_does_not_fit_is_one_line(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        cover_job(overrides)
