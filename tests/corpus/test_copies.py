"""Recordings that hold the same sound are found whatever was done to the file, and lie on one side of the border."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from tests.tools.corpus_tools import make_job, write_sounds
from utils.audio.synthetic_speech import voice
from utils.corpus.arrays import Rows, save_array
from utils.corpus.copies import Copy, Stretch, correlation, find_copies, groups_of
from utils.corpus.manifest import Clip
from utils.corpus.pipeline import prepare_dataset
from utils.corpus.report import speaker_notes
from utils.corpus.sound_print import HOP_FRAMES, print_of_text, print_text, sound_print
from utils.corpus.split import Before, HeldOutSettings, SplitFile, assign_splits
from utils.corpus.store import CorpusStore

RATE = 16000
HOP = RATE // 100 * HOP_FRAMES
SETTINGS = HeldOutSettings(share=0.05, min_files=2)


def speech(seed: int, seconds: float = 3.0, rate: int = RATE) -> np.ndarray:
    """Sound of which no two seeds share a stretch: other pitches and formants."""
    rng = np.random.default_rng(seed)
    f0_hz, scale = float(rng.uniform(90, 220)), float(rng.uniform(0.85, 1.15))
    return voice(seconds, rate, f0_hz=f0_hz, seed=seed, formant_scale=scale)


def encoded(sound: np.ndarray, rate: int, kind: str, subtype: str) -> np.ndarray:
    stream = io.BytesIO()
    soundfile.write(stream, sound, rate, format=kind, subtype=subtype)
    stream.seek(0)
    decoded: np.ndarray = soundfile.read(stream, dtype="float32")[0]
    return decoded


def at_other_rate(sound: np.ndarray) -> np.ndarray:
    low = encoded(soxr.resample(sound, RATE, 8000), 8000, "WAV", "ULAW")
    return soxr.resample(low, 8000, RATE)


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mp3": lambda sound: encoded(sound, RATE, "MP3", "MPEG_LAYER_III"),
    "ogg": lambda sound: encoded(sound, RATE, "OGG", "VORBIS"),
    "telephone": at_other_rate,
    "level": lambda sound: 0.1 * sound,
    "polarity": lambda sound: -sound,
    "cut at both ends": lambda sound: sound[7771:-5001],
    "middle half, mp3": lambda sound: encoded(sound[RATE // 2 : 2 * RATE], RATE, "MP3", "MPEG_LAYER_III"),
}


def copies_of(sounds: list[np.ndarray], folder: Path) -> list[Copy]:
    samples = [np.round(np.clip(sound, -1, 1) * 32767).astype(np.int16) for sound in sounds]
    prints = []
    for sound in samples:
        save_array(folder / "sound.npy", sound)
        prints.append(sound_print(Rows(folder / "sound.npy", 0, len(sound)), RATE))
    return find_copies(prints, lambda index, first, end: samples[index][first * HOP : end * HOP], RATE)


@pytest.mark.parametrize("change", CHANGES)
def test_copy_is_found_among_others(tmp_path: Path, change: str) -> None:
    sounds = [speech(seed) for seed in range(6)]

    copies = copies_of([*sounds, CHANGES[change](sounds[2])], tmp_path)

    assert [(copy.first, copy.second) for copy in copies] == [(2, 6)]
    assert copies[0].seconds > 0.5 * min(3.0, len(CHANGES[change](sounds[2])) / RATE)


def test_other_recordings_of_one_speaker_are_no_copies(tmp_path: Path) -> None:
    assert copies_of([voice(1.2, seed=seed) for seed in range(20)], tmp_path) == []


def test_silence_noise_and_hum_are_no_copies(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    hum = 0.1 * np.sin(2 * np.pi * 50 * np.arange(2 * RATE) / RATE)
    sounds = [np.zeros(2 * RATE), *(0.1 * rng.standard_normal(2 * RATE) for _ in range(3)), np.zeros(2 * RATE)]

    assert copies_of([*sounds, *(speech(seed, 2.0) + hum for seed in range(3)), np.zeros(0)], tmp_path) == []


def test_place_of_the_common_sound_is_told(tmp_path: Path) -> None:
    sound = speech(1, 4.0)

    (copy,) = copies_of([sound, sound[2 * RATE :]], tmp_path)

    assert all(item.first - item.second == pytest.approx(100, abs=2) for item in copy.stretches)
    other, spans = copy.in_other(0, 150)
    assert other == 1
    assert min(spans)[0] == pytest.approx(50, abs=2)


def test_correlation_is_one_for_a_shifted_sound_and_small_for_another() -> None:
    sound = speech(3)

    assert correlation(sound[:RATE], 0.2 * sound[100 : RATE + 100], RATE) == pytest.approx(1.0, abs=0.05)
    assert correlation(sound[:RATE], speech(4)[:RATE], RATE) < 0.5


def test_print_survives_as_text() -> None:
    bits = np.random.default_rng(0).integers(1 << 32, size=50, dtype=np.uint32)

    assert np.array_equal(print_of_text(print_text(bits)), bits)


def test_groups_are_connected_by_any_chain_of_copies() -> None:
    copies = [Copy(first, second, ()) for first, second in ((3, 4), (0, 4), (1, 2))]

    assert groups_of(6, copies) == [0, 1, 1, 0, 0, 5]


def files(count: int, clips: int = 3) -> list[SplitFile]:
    return [SplitFile(f"a{index:04d}", "a", (300,) * clips) for index in range(count)]


def whole_copy(first: int, second: int, hops: int = 450) -> Copy:
    return Copy(first, second, (Stretch(0, 0, hops),))


@pytest.mark.parametrize("seed", range(8))
def test_copies_never_cross_the_border(seed: int) -> None:
    rng = np.random.default_rng(seed)
    items = files(40)
    copies = [whole_copy(*sorted(rng.choice(40, 2, replace=False).tolist())) for _ in range(15)]

    splits = assign_splits(items, {}, SETTINGS, copies)

    assert all(splits[items[copy.first].checksum] == splits[items[copy.second].checksum] for copy in copies)
    assert 2 <= len({key for key, values in splits.items() if "val" in values}) <= 20


def test_new_copies_go_where_the_recording_was() -> None:
    items = files(20)
    before = assign_splits(items, {}, SETTINGS)
    previous: dict[str, Before] = {key: values[0] for key, values in before.items()}
    more = [*items, *(SplitFile(f"b{index}", "a", (300,) * 3) for index in range(20))]

    after = assign_splits(more, previous, SETTINGS, [whole_copy(index, 20 + index) for index in range(20)])

    assert {key: after[key] for key in before} == before
    assert [after[f"b{index}"] for index in range(20)] == [before[item.checksum] for item in items]


def test_recording_that_was_trained_on_takes_its_copies_there() -> None:
    items = files(20)
    previous: dict[str, Before] = {item.checksum: "train" if index else "val" for index, item in enumerate(items)}

    after = assign_splits(items, previous, SETTINGS, [whole_copy(0, 1)])

    assert after["a0000"] == after["a0001"] == ("train",) * 3


def test_copies_of_a_held_out_end_are_held_out_too() -> None:
    items = [SplitFile("long", "a", (1000,) * 10), SplitFile("copy", "a", (500,) * 18), SplitFile("other", "a", (90,))]

    splits = assign_splits(items, {}, SETTINGS, [Copy(0, 1, (Stretch(500, 0, 4500),))])

    assert splits["long"] == ("train",) * 8 + ("val",) * 2
    assert splits["copy"] == ("train",) * 14 + ("val",) * 4
    assert splits["other"] == ("train",)


def test_recording_that_two_speakers_have_is_trained_on() -> None:
    items = [*files(8), SplitFile("b0", "b", (300,) * 3)]

    assert assign_splits(items, {}, SETTINGS, [whole_copy(3, 8)])["b0"] == ("train",) * 3


@pytest.mark.slow
def test_dataset_holds_copies_on_one_side_and_says_so(tmp_path: Path) -> None:
    sounds = {f"{seed}.wav": speech(seed, 2.0) for seed in range(6)}
    write_sounds(tmp_path / "source", sounds)
    job = make_job(tmp_path / "source", tmp_path / "data", "preprocess.content_speeds=[]")
    prepare_dataset(job)
    before = {clip.source: clip.split for clip in CorpusStore.open(tmp_path / "data").clips}
    soundfile.write(tmp_path / "source" / "song.mp3", 0.5 * sounds["3.wav"], RATE)
    held_out = next(name for name, split in before.items() if split == "val")
    write_sounds(tmp_path / "source", {"part.flac": sounds[held_out][5000:]})

    report = prepare_dataset(job)

    after = {clip.source: clip.split for clip in CorpusStore.open(tmp_path / "data").clips}
    assert {name: after[name] for name in before} == before
    assert (after["song.mp3"], after["part.flac"]) == (after["3.wav"], "val")
    notes = {item["source"]: item["notes"] for item in report["files"]}
    assert any("shares" in note and "same side" in note for note in notes["song.mp3"])
    assert not any("shares" in note for name in before for note in notes[name])


@pytest.mark.slow
def test_dataset_of_no_copies_is_split_as_before_they_were_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sounds(tmp_path / "source", {f"{seed}.wav": voice(1.0, seed=seed) for seed in range(8)})
    prepare_dataset(make_job(tmp_path / "source", tmp_path / "now", "preprocess.content_speeds=[]"))
    monkeypatch.setattr("utils.corpus.completion.find_copies", lambda *_: [])
    prepare_dataset(make_job(tmp_path / "source", tmp_path / "before", "preprocess.content_speeds=[]"))

    now, before = (CorpusStore.open(tmp_path / name).clips for name in ("now", "before"))
    assert now == before


def clip(speaker: str, split: str) -> Clip:
    return Clip("id", "a.wav", 0.0, 1.0, 100, 0, speaker, split, "sum")  # type: ignore[arg-type]


def test_speakers_without_held_out_audio_are_named_in_one_line() -> None:
    clips = [clip("a", "train"), clip("a", "val"), *(clip(f"s{index:02d}", "train") for index in range(20))]

    (note,) = speaker_notes(clips)

    assert note.startswith("no held-out audio of s00, s01,") and "and 12 more" in note and "\n" not in note
    assert speaker_notes([clip("a", "train"), clip("a", "val")]) == []
