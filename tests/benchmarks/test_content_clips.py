"""Clips for content encoders: whose they are, which are taken, and that what cannot be used is named."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.content_clips import choose, describe, list_clips, read_clips
from benchmarks.content_encoder import find_clips
from utils.audio.io import save_audio
from utils.errors import DataError

RATE = 16000


def touch(folder: Path, *stems: str) -> None:
    for stem in stems:
        path = folder / f"{stem}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def numbered(speaker: str, numbers: range) -> list[str]:
    return [f"{speaker}_{number:02d}" for number in numbers]


def chosen(folder: Path, count: int) -> dict[str, list[str]]:
    return {name: sorted(sentences) for name, sentences in choose(list_clips(folder), count).items()}


def test_a_speaker_with_one_clip_takes_no_sentence_from_the_others(tmp_path: Path) -> None:
    for speaker in ("ann", "bob", "cy"):
        touch(tmp_path, *numbered(speaker, range(1, 21)))
    touch(tmp_path, "dan_15")

    found = chosen(tmp_path, 20)

    assert [len(found[speaker]) for speaker in ("ann", "bob", "cy", "dan")] == [20, 20, 20, 1]
    assert all("15" in sentences for sentences in chosen(tmp_path, 5).values())


def test_sentences_that_two_speakers_say_come_first(tmp_path: Path) -> None:
    touch(tmp_path, *numbered("a", range(1, 41)), *numbered("b", range(21, 61)), "c_70", "c_71")

    found = chosen(tmp_path, 20)

    common = [f"{number}" for number in range(21, 41)]
    assert found == {"a": common, "b": common, "c": ["70", "71"]}


@pytest.mark.parametrize(
    ("stems", "speakers"),
    [
        (["en_jane_01", "en_bob_01", "nl_piet_01", "nl_jan_01"], ["en_bob", "en_jane", "nl_jan", "nl_piet"]),
        (["en_jane_01", "en_jane_02", "en_bob_01", "en_bob_02"], ["en_bob", "en_jane"]),
        (["en_jane_01", "en_bob_02"], ["en_bob", "en_jane"]),
        (["en_jane_01", "bob_01"], ["bob", "en_jane"]),
        (["slt_arctic_1", "slt_arctic_2", "rms_arctic_1", "rms_arctic_2"], ["rms", "slt"]),
        (["ann_one_1", "ann_two_1", "bob_one_1", "bob_two_1"], ["ann", "bob"]),
        (["ann_1", "bob_2"], ["ann", "bob"]),
    ],
)
def test_names_are_split_where_most_sentences_are_common(tmp_path: Path, stems: list[str], speakers: list[str]) -> None:
    touch(tmp_path, *stems)

    assert sorted(find_clips(tmp_path)) == speakers


def test_the_parts_of_a_speaker_can_be_given(tmp_path: Path) -> None:
    touch(tmp_path, "slt_arctic_1", "rms_arctic_1", "rms_other_1")

    assert sorted(list_clips(tmp_path, speaker_parts=2)) == ["rms_arctic", "rms_other", "slt_arctic"]
    with pytest.raises(DataError, match=r"is not named <speaker>_<speaker>_<speaker>_<sentence>"):
        list_clips(tmp_path, speaker_parts=3)


def test_a_file_of_the_same_name_is_left_out_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path, "x/a_1", "y/a_1", "b_1", "._b_1")
    (tmp_path / "b_1.flac").touch()

    found = list_clips(tmp_path)

    assert found == {"a": {"1": tmp_path / "x/a_1.wav"}, "b": {"1": tmp_path / "b_1.flac"}}
    assert sorted(record.getMessage() for record in caplog.records) == [
        f"left out: {tmp_path / 'b_1.wav'} (the same speaker and sentence as {tmp_path / 'b_1.flac'})",
        f"left out: {tmp_path / 'y/a_1.wav'} (the same speaker and sentence as {tmp_path / 'x/a_1.wav'})",
    ]


def write(folder: Path, stem: str, seconds: float = 1.0, level: float = 0.1) -> None:
    save_audio(folder / f"{stem}.wav", level * np.sin(np.arange(round(seconds * RATE)) / 20).astype(np.float32), RATE)


def test_clips_that_cannot_be_used_are_named_and_replaced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for speaker in ("ann", "bob"):
        for number in range(1, 7):
            write(tmp_path, f"{speaker}_{number}")
    write(tmp_path, "ann_1", level=0.0)
    write(tmp_path, "ann_2", seconds=0.015)
    (tmp_path / "bob_3.wav").write_text("no sound")
    (tmp_path / "bob_4.wav").write_bytes(b"")

    audio = read_clips(list_clips(tmp_path), 2)

    assert {speaker: list(sentences) for speaker, sentences in audio.items()} == {"ann": ["5", "6"], "bob": ["5", "6"]}
    said = caplog.text
    assert "ann_1.wav: silent" in said and "ann_2.wav: 0.015 s, shorter than 0.5 s" in said
    assert "bob_3.wav" in said and "bob_4.wav" in said


def test_too_little_left_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "ann_1")
    write(tmp_path, "bob_1", level=0.0)

    with pytest.raises(DataError, match=r"only one speaker \(ann\)"):
        read_clips(list_clips(tmp_path), 2)


def test_a_missing_figure_has_a_reason(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    touch(tmp_path, "ann_1", "ann_2", "bob_3")
    clips = list_clips(tmp_path)

    describe(clips, {name: dict.fromkeys(sentences, np.ones(1)) for name, sentences in clips.items()})

    assert "speaker ann: 2 of 2 clips, 0 of them said by another speaker too" in caplog.text
    assert "no content ratio: no sentence is said by two speakers" in caplog.text
    assert "no speaker leak: fewer than two speakers have two clips" in caplog.text
