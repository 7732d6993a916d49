"""Which recordings are converted, and each behind several lengths of silence."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks.sources import delay_sources, pick_sources, prepare_sources, stage_sources
from benchmarks.voice_quality import parse
from utils.audio.listing import list_audio
from utils.errors import ConfigError


def test_sources_inside_the_work_folder_are_left_alone(tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    soundfile.write(sources / "a_1.wav", np.zeros(160), 16000)

    with pytest.raises(ConfigError, match="sources was not made by this command"):
        prepare_sources(parse(["--sources", str(sources), "--source-count", "1"]), tmp_path)
    assert (sources / "a_1.wav").is_file() and not (sources / "a_1.wav").is_symlink()

    for _ in range(2):  # a folder of the benchmark is made anew
        staged = prepare_sources(parse(["--sources", str(sources), "--source-count", "1"]), tmp_path / "work")
    assert [path.name for path in staged] == ["a_1_0ms.wav", "a_1_10ms.wav", "a_1_37ms.wav", "a_1_111ms.wav"]
    assert [path.name for path in list_audio(tmp_path / "work" / "sources")] == ["a_1.wav"]


def test_many_speakers_give_one_clip_each(tmp_path: Path) -> None:
    for speaker in range(10, 21):
        for clip in range(2):
            (tmp_path / f"{speaker}-x-{clip}.flac").touch()

    chosen = pick_sources(tmp_path, 5)

    assert [(speaker, path.name) for speaker, path in chosen[:2]] == [("11", "11-x-0.flac"), ("13", "13-x-0.flac")]
    assert len(chosen) == 5


def test_few_speakers_share_the_clips(tmp_path: Path) -> None:
    for speaker in ("p225", "p226"):
        (tmp_path / speaker).mkdir()
        for clip in range(9):
            (tmp_path / speaker / f"{clip:03d}.wav").touch()

    chosen = pick_sources(tmp_path, 5)
    staged = stage_sources(chosen, tmp_path / "staged")

    assert [speaker for speaker, _ in chosen] == ["p225"] * 3 + ["p226"] * 2
    assert staged[0].name == "p225_000.wav"


def test_delayed_clips_have_silence_before_them_and_keep_their_rate(tmp_path: Path) -> None:
    sound = np.linspace(-0.5, 0.5, 441)
    soundfile.write(tmp_path / "a.flac", sound, 44100)

    plain, late = delay_sources([tmp_path / "a.flac"], tmp_path / "delayed", parse(["--delays", "0,10"]).delays)

    assert [plain.name, late.name] == ["a_0ms.wav", "a_10ms.wav"]
    audio, rate = soundfile.read(late)
    assert rate == 44100 and len(audio) == 882
    assert not audio[:441].any() and np.abs(audio[441:] - sound).max() < 1e-4
    assert np.array_equal(soundfile.read(plain)[0], audio[441:])


@pytest.mark.parametrize("delays", ["-1", "5,5", "a", "", "1.5"])
def test_delays_that_make_no_sense_are_refused(delays: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse([f"--delays={delays}"])

    assert stopped.value.code == 2
    assert "--delays" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--source-count=0", "0 is out of range; allowed: at least 1"),
        ("--minutes=nan", "nan is out of range; allowed: above 0"),
        ("--json=.", "is a folder; give the name of a file"),
    ],
)
def test_what_would_fail_after_the_training_is_refused_before(
    option: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse([option])

    assert stopped.value.code == 2
    assert words in capsys.readouterr().err
