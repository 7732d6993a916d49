"""A program of the user's takes a song apart."""

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from utils.config.cover import Separator, cover_job
from utils.covers.separating import separate
from utils.errors import ConfigError, DataError

RATE = 16000
# writes the channels of a file into two files whose names hold that of the file, as separators do
PROGRAM = """\
import pathlib, sys, soundfile
song, folder = map(pathlib.Path, sys.argv[1:])
audio, rate = soundfile.read(song)
(folder / "model").mkdir()
soundfile.write(folder / "model" / f"{song.stem}_(Vocals).wav", audio[:, 0], rate)
soundfile.write(folder / "model" / f"{song.stem}_(Instrumental).wav", audio[:, 1], rate)
"""


@pytest.fixture
def song(tmp_path: Path) -> Path:
    (tmp_path / "split it.py").write_text(PROGRAM)
    path = tmp_path / "My song (Vocals) 'live'.wav"
    soundfile.write(path, np.tile([0.25, 0.5], (800, 1)), RATE)
    return path


def settings(folder: Path, **changes: str) -> Separator:
    command = f"'{sys.executable}' '{folder / 'split it.py'}' {{song}} {{folder}}"
    return Separator(**{"command": command, "vocals": "**/*(Vocals)*", "rest": "**/*(Instrumental)*", **changes})


@pytest.mark.slow
def test_parts_are_found_whatever_the_song_is_called(tmp_path: Path, song: Path) -> None:
    vocals, rest, rate = separate(settings(tmp_path), song, "separator")

    assert rate == RATE and vocals.shape == rest.shape == (800, 2)
    np.testing.assert_allclose((vocals[0, 0], rest[0, 0]), (0.25, 0.5), atol=1e-3)


@pytest.mark.slow
def test_what_goes_wrong_is_one_line(tmp_path: Path, song: Path) -> None:
    with pytest.raises(ConfigError, match=r"separator.command: no-such-program is not installed; docs/"):
        separate(settings(tmp_path, command="no-such-program {song} {folder}"), song, "separator")
    with pytest.raises(DataError, match="failed with code 3"):
        command = f"'{sys.executable}' -c 'import sys; sys.exit(3)' {{song}} {{folder}}"
        separate(settings(tmp_path, command=command), song, "separator")
    with pytest.raises(DataError, match=r"lead_separator.vocals=\*\.wav is 0 of the files.*song_\(Vocals\)\.wav"):
        separate(settings(tmp_path, vocals="*.wav"), song, "lead_separator")
    with pytest.raises(DataError, match="is 2 of the files"):
        separate(settings(tmp_path, rest="**/*.wav"), song, "separator")


def test_options_name_both_places() -> None:
    for option in ("demucs", "audio_separator"):
        job = cover_job(["song=s", "voice=a", f"separator={option}", "lead_separator=audio_separator"])
        assert job.separator.command is not None and job.separator.command.split()[0].replace("-", "_") == option
        assert job.separator.vocals != job.separator.rest
