"""Each kind of bad recording is handled and reported, and none stops the rest."""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.tools.corpus_tools import RATE, make_job, write_sounds
from utils.audio.synthetic_speech import silence, voice
from utils.corpus.pipeline import prepare_dataset
from utils.corpus.store import CorpusStore
from utils.errors import DataError

NOT_UTF8 = b"caf\xe9.wav"


def make_nasty(folder: Path) -> None:
    """Good recordings of two speakers, beside one of each bad kind."""
    good = {f"anna/good {index}.wav": voice(2.0, f0_hz=200, seed=index) for index in range(4)}
    write_sounds(folder, good)
    write_sounds(folder, {"Jörg 声/straße ночь.flac": voice(2.0, f0_hz=110, seed=10)})
    anna = folder / "anna"
    write_sounds(
        anna,
        {
            "silent.wav": silence(2.0),
            "no samples.wav": silence(0.0),
            "short voice.wav": voice(0.2, f0_hz=200, seed=11),
            "click.wav": 0.1 * np.random.default_rng(0).standard_normal(RATE // 5).astype(np.float32),
            "tiny.wav": voice(0.02, f0_hz=200, seed=12),
            "same sound.flac": soundfile.read(anna / "good 1.wav", dtype="float32")[0],
            "quiet.flac": 0.02 * voice(2.0, f0_hz=200, seed=13),
            "clipped.wav": np.clip(20 * voice(2.0, f0_hz=200, seed=14), -1, 1),
            "to cut.flac": voice(4.0, f0_hz=200, seed=15),
            "below/further/deep.wav": voice(2.0, f0_hz=200, seed=16),
        },
    )
    (anna / "copy.wav").write_bytes((anna / "good 0.wav").read_bytes())
    (folder / "Jörg 声" / "borrowed.wav").write_bytes((anna / "good 2.wav").read_bytes())
    (anna / "cut.wav").write_bytes((anna / "good 3.wav").read_bytes()[:RATE])
    whole = (anna / "to cut.flac").read_bytes()
    (anna / "to cut.flac").write_bytes(whole[: len(whole) // 2])
    (anna / "text.wav").write_text("These are words about a sound.\n" * 30)
    (anna / "empty.wav").write_bytes(b"")
    (anna / "notes.txt").write_text("no recording")
    (anna / ".hidden.wav").write_bytes((anna / "good 0.wav").read_bytes())
    (anna / "dangling.wav").symlink_to(folder / "nowhere.wav")
    (anna / "circle").symlink_to(anna)
    stereo = voice(2.0, f0_hz=200, seed=17)
    soundfile.write(anna / "inverted.wav", np.stack([stereo, -stereo], axis=1), RATE)
    holes = voice(2.0, f0_hz=200, seed=18)
    holes[100:200] = np.nan
    soundfile.write(anna / "holes.wav", holes, RATE, subtype="FLOAT")
    write_sounds(folder, {"anna/not utf8.wav": voice(2.0, f0_hz=200, seed=19)})
    os.rename(os.fsencode(anna / "not utf8.wav"), os.fsencode(anna) + b"/" + NOT_UTF8)  # noqa: PTH104
    (folder / "nobody").mkdir()


@pytest.fixture(scope="module")
def nasty(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], CorpusStore]:
    place = tmp_path_factory.mktemp("nasty")
    make_nasty(place / "source")
    report = prepare_dataset(make_job(place / "source", place / "data"))
    return report, CorpusStore.open(place / "data")


def entry(report: dict[str, Any], source: str) -> dict[str, Any]:
    (found,) = [item for item in report["files"] if item["source"] == source]
    return dict(found)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("anna/silent.wav", "silent"),
        ("anna/no samples.wav", "nothing can be decoded"),
        ("anna/click.wav", "very short .* nothing in it is voiced"),
        ("anna/tiny.wav", "too short: 0.020 s"),
        ("anna/text.wav", "not a sound file"),
        ("anna/empty.wav", r"empty \(0 bytes\)"),
        ("anna/dangling.wav", "cannot be read"),
        ("anna/good 0.wav", "same content as anna/copy.wav"),
        ("anna/same sound.flac", "same sound as anna/good 1.wav"),
        ("anna/good 2.wav", "same content as Jörg 声/borrowed.wav of speaker Jörg 声"),
    ],
)
def test_unusable_file_is_dropped_with_its_reason(
    nasty: tuple[dict[str, Any], CorpusStore], name: str, reason: str
) -> None:
    found = entry(nasty[0], name)

    assert found["status"] == "dropped"
    assert re.search(reason, found["problem"])


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("anna/short voice.wav", r"very short \(0.20 s\)"),
        ("anna/cut.wav", r"cut short: 0\.50 s of 2\.00 s"),
        ("anna/to cut.flac", "stopped after|damaged|decoded by ffmpeg"),
        ("anna/inverted.wav", "channels cancel"),
        ("anna/holes.wav", "100 samples are not finite"),
        ("anna/clipped.wav", "full scale"),
    ],
)
def test_impaired_file_is_used_with_a_note(nasty: tuple[dict[str, Any], CorpusStore], name: str, note: str) -> None:
    found = entry(nasty[0], name)

    assert found["status"] == "used"
    assert any(re.search(note, text) for text in found["notes"])


@pytest.mark.parametrize(
    "name", ["Jörg 声/straße ночь.flac", "anna/caf\ufffd.wav", "anna/below/further/deep.wav", "anna/quiet.flac"]
)
def test_unusual_but_good_file_is_used_whole(nasty: tuple[dict[str, Any], CorpusStore], name: str) -> None:
    found = entry(nasty[0], name)

    assert (found["status"], found["notes"]) == ("used", [])
    assert found["used_seconds"] == pytest.approx(2.0, abs=0.02)


def test_every_file_is_in_the_report_once(nasty: tuple[dict[str, Any], CorpusStore]) -> None:
    sources = [item["source"] for item in nasty[0]["files"]]

    assert len(sources) == len(set(sources)) == 24
    assert nasty[0]["ignored"] == {".txt": 1}
    assert nasty[0]["empty_folders"] == ["nobody"]


def test_speakers_are_the_folders_with_something_usable(nasty: tuple[dict[str, Any], CorpusStore]) -> None:
    assert nasty[1].speakers == ["Jörg 声", "anna"]


def test_stored_clips_are_level_and_never_clip(nasty: tuple[dict[str, Any], CorpusStore]) -> None:
    store = nasty[1]

    for clip in store.clips:
        sound = store.waveform(clip)
        assert np.abs(sound).max() <= 10 ** (-1 / 20) + 1e-4
        assert 0.02 < np.sqrt(np.mean(np.square(sound))) < 0.3, clip.source


def test_features_have_the_frames_of_their_clip(nasty: tuple[dict[str, Any], CorpusStore]) -> None:
    store = nasty[1]

    for clip in store.clips:
        assert store.waveform(clip).shape == (clip.num_frames * store.audio.hop_length,)
        for name in ("content", "content_perturbed_0", "content_perturbed_1"):
            assert store.feature(name, clip).shape == (clip.num_frames, store.content_dim)
        assert store.feature("f0_hz", clip).shape == store.feature("loudness_db", clip).shape == (clip.num_frames,)


@pytest.mark.parametrize("content", ["nothing", "only text", "only bad"])
def test_unusable_source_is_one_line_and_leaves_an_existing_dataset_alone(tmp_path: Path, content: str) -> None:
    write_sounds(tmp_path / "good", {"a.wav": voice(1.0)})
    prepare_dataset(make_job(tmp_path / "good", tmp_path / "data"))
    before = {path: path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()}
    source = tmp_path / "source"
    source.mkdir()
    if content == "only text":
        (source / "a.txt").write_text("words")
    if content == "only bad":
        write_sounds(source, {"silent.wav": silence(1.0)})
        (source / "text.wav").write_text("words")

    with pytest.raises(DataError) as caught:
        prepare_dataset(make_job(source, tmp_path / "data"))

    assert "\n" not in str(caught.value)
    after = {path: path.read_bytes() for path in before}
    assert after == before
    CorpusStore.open(tmp_path / "data")


def test_unusable_source_leaves_no_new_dataset_behind(tmp_path: Path) -> None:
    write_sounds(tmp_path / "source", {"silent.wav": silence(1.0)})

    with pytest.raises(DataError, match=r"none of its 1 files is usable \(silent.wav: silent"):
        prepare_dataset(make_job(tmp_path / "source", tmp_path / "data"))

    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("mark", ["\x85", "\u2028", "\u2029"])
def test_mark_in_a_name_that_ends_lines_elsewhere_ends_none_here(tmp_path: Path, mark: str) -> None:
    write_sounds(tmp_path / "source", {f"an{mark}na/first{mark}take.wav": voice(1.0)})

    prepare_dataset(make_job(tmp_path / "source", tmp_path / "data"))

    (clip,) = CorpusStore.open(tmp_path / "data").clips
    assert (clip.speaker, clip.source) == (f"an{mark}na", f"an{mark}na/first{mark}take.wav")
