"""What is wrong with a recording stays in the process that decodes it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile

from utils.audio import decoder_process
from utils.audio.decoder_process import COMMAND, DecoderProcess, RemoteDecoder
from utils.audio.decoding import open_audio
from utils.audio.io import load_audio
from utils.audio.synthetic_speech import voice
from utils.errors import DataError
from utils.idle_processes import ROOT, IdleProcesses

RATE = 16000
# a decoder that does what the name of a file says
SPOILED = """
import os, signal, sys, time
sys.path.insert(0, {root!r})
from utils.audio import decoder_child as child
open_decoder = child.open_decoder

class Spoiled:
    def __init__(self, decoder, deed):
        self.decoder, self.deed = decoder, deed
    def __getattr__(self, name):
        return getattr(self.decoder, name)
    def blocks(self):
        for block in self.decoder.blocks():
            yield block
            spoil(self.deed)

def spoil(deed):
    if deed == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if deed == "hang":
        while True: pass
    if deed == "eat":
        bytearray(1 << 40)
    if deed == "stumble":
        raise KeyError("a field")

def opened(path, *rest):
    decoder = open_decoder(path, *rest)
    if path.stem.startswith("at once "):
        spoil(path.stem[8:])
    return Spoiled(decoder, path.stem)

child.open_decoder = opened
child.main()
"""


def waiting(command: Sequence[str] = COMMAND) -> IdleProcesses[DecoderProcess]:
    return IdleProcesses(partial(DecoderProcess, command), 4)


@pytest.fixture
def spoiled(monkeypatch: pytest.MonkeyPatch) -> IdleProcesses[DecoderProcess]:
    """Let recordings spoil their decoder."""
    processes = waiting((sys.executable, "-P", "-c", SPOILED.format(root=str(ROOT))))
    monkeypatch.setattr(decoder_process, "decoder_processes", lambda: processes)
    monkeypatch.setattr(decoder_process, "PATIENCE_SECONDS", 0.5)
    return processes


def recording(folder: Path, name: str) -> Path:
    path = folder / f"{name}.wav"
    soundfile.write(path, voice(1.0, RATE), RATE)
    return path


def is_running(number: int) -> bool:
    """Whether a process is there and more than an entry that nobody has asked for."""
    try:
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def words_of(process: psutil.Process) -> str:
    """Its command line; none where it has ended meanwhile, as one that another test left may have."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # a zombie is one, too
        return ""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="other words")
@pytest.mark.parametrize(
    ("deed", "words"),
    [
        ("crash", r"crash.wav cannot be decoded: it ended the decoder \(SIGSEGV\)"),
        ("hang", "hang.wav cannot be decoded: the decoder did not answer within"),
        ("eat", "eat.wav cannot be decoded: it takes more than"),
        ("stumble", r"stumble.wav cannot be decoded \(KeyError: 'a field'\)"),
    ],
)
def test_recording_that_ends_its_decoder_is_one_line_and_the_next_is_read(
    spoiled: IdleProcesses[DecoderProcess], tmp_path: Path, deed: str, words: str
) -> None:
    good = recording(tmp_path, "good")

    for name in (f"at once {deed}", deed):
        with pytest.raises(DataError, match=words) as caught:
            load_audio(recording(tmp_path, name), RATE)
        assert "\n" not in str(caught.value)

    assert len(load_audio(good, RATE)) == RATE
    spoiled.end()


def test_one_process_reads_many_recordings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    started: list[DecoderProcess] = []

    def start() -> DecoderProcess:
        started.append(DecoderProcess(COMMAND))
        return started[-1]

    processes = IdleProcesses(start, 4)
    monkeypatch.setattr(decoder_process, "decoder_processes", lambda: processes)
    (tmp_path / "no.wav").write_text("no sound")

    for number in range(5):
        load_audio(recording(tmp_path, str(number)), RATE, duration_seconds=0.5)
        with pytest.raises(DataError, match="not a sound file"):
            load_audio(tmp_path / "no.wav", RATE)

    assert len(started) == 1
    processes.end()


def test_recordings_can_be_read_at_the_same_time(tmp_path: Path) -> None:
    paths = [recording(tmp_path, str(number)) for number in range(8)]
    with open_audio(paths[0]) as first, open_audio(paths[1]) as second:
        pairs = [np.array_equal(one, two) for one, two in zip(first.blocks(), second.blocks(), strict=True)]

    with ThreadPoolExecutor(4) as threads:
        sounds = list(threads.map(lambda path: load_audio(path, RATE), paths))

    assert pairs == [True]
    assert all(np.array_equal(sound, sounds[0]) for sound in sounds)


def test_reading_that_is_broken_off_leaves_nothing_for_the_next(tmp_path: Path) -> None:
    long = tmp_path / "long.wav"
    soundfile.write(long, np.tile(voice(1.0, RATE), 60), RATE)
    short = recording(tmp_path, "short")

    for _ in range(3):
        with open_audio(long) as decoder:
            next(decoder.blocks())
        assert len(load_audio(short, RATE)) == RATE


def test_process_that_was_killed_while_it_waited_costs_nothing(tmp_path: Path) -> None:
    path = recording(tmp_path, "a")
    load_audio(path, RATE)

    waiting = [child for child in psutil.Process().children(recursive=True) if "decoder_child" in words_of(child)]
    for child in waiting:
        child.kill()
        child.wait(10)

    assert waiting
    assert len(load_audio(path, RATE)) == RATE


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_fork_has_a_decoder_of_its_own(tmp_path: Path) -> None:
    path = recording(tmp_path, "a")
    code = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
from utils.audio.io import load_audio
whole = len(load_audio({str(path)!r}, 16000))
child = os.fork()
for _ in range(20):
    assert len(load_audio({str(path)!r}, 16000)) == whole
if child:
    sys.exit(os.waitpid(child, 0)[1])
"""

    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)

    assert finished.returncode == 0, finished.stderr


@pytest.mark.skipif(os.name == "nt", reason="no such signal")
def test_decoder_ends_with_the_process_that_it_works_for(tmp_path: Path) -> None:
    code = f"""
import os, signal, sys
sys.path.insert(0, {str(ROOT)!r})
from functools import partial
from pathlib import Path
from utils.audio.decoding import open_audio
import psutil
with open_audio(Path({str(recording(tmp_path, "a"))!r})):
    print(psutil.Process().children()[0].pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""

    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)

    assert finished.returncode == -signal.SIGKILL
    end = time.monotonic() + 20
    while is_running(int(finished.stdout)) and time.monotonic() < end:
        time.sleep(0.02)
    assert not is_running(int(finished.stdout))


def test_decoder_that_cannot_start_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    processes = waiting((sys.executable, "-c", "raise SystemExit(3)"))
    monkeypatch.setattr(decoder_process, "decoder_processes", lambda: processes)

    with pytest.raises(DataError, match=r"no process for decoding could be started \(exit code 3\)"):
        RemoteDecoder(recording(tmp_path, "a"))


def test_relative_names_are_found_from_where_the_program_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording(tmp_path, "a")
    (tmp_path / "no.wav").write_text("no sound")
    monkeypatch.chdir(tmp_path)

    assert len(load_audio("a.wav", RATE)) == RATE
    with pytest.raises(DataError, match=r"^no\.wav is not a sound file"):
        load_audio("no.wav", RATE)
