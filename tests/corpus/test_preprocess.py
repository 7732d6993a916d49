"""A dataset is brought up to date by doing only what is new, at whatever moment the last run ended."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from tests.tools.corpus_tools import RATE, make_job, write_sounds
from utils.audio.synthetic_speech import silence, voice
from utils.config.preprocess import preprocess_job
from utils.corpus.pipeline import prepare_dataset
from utils.corpus.reading import read_recording
from utils.corpus.store import CorpusStore
from utils.errors import ConfigError, DataError, FormatError
from utils.locks import try_lock

ROOT = Path(__file__).resolve().parents[2]
FEATURES = ["content", "content_perturbed_0", "content_perturbed_1", "f0_hz", "loudness_db"]


def sounds(first: int, count: int) -> dict[str, np.ndarray]:
    return {f"{index:02d}.wav": voice(1.0, seed=index) for index in range(first, first + count)}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_sounds(tmp_path / "source", sounds(0, 5))
    return tmp_path / "source"


def test_second_run_computes_nothing_and_gives_the_same_dataset(source: Path, tmp_path: Path) -> None:
    prepare_dataset(make_job(source, tmp_path / "data"))
    before = CorpusStore.open(tmp_path / "data").fingerprint

    work = prepare_dataset(make_job(source, tmp_path / "data"))["work"]

    assert (work["files_read"], work["files_reused"]) == (0, 5)
    assert work["files_computed"] == dict.fromkeys(FEATURES, 0)
    assert CorpusStore.open(tmp_path / "data").fingerprint == before


def test_new_files_are_added_without_reading_the_old(source: Path, tmp_path: Path) -> None:
    prepare_dataset(make_job(source, tmp_path / "data"))
    before = {clip.id: clip.split for clip in CorpusStore.open(tmp_path / "data").clips}
    write_sounds(source, sounds(5, 2))

    work = prepare_dataset(make_job(source, tmp_path / "data"))["work"]

    assert (work["files_read"], work["files_reused"]) == (2, 5)
    assert work["files_computed"] == dict.fromkeys(FEATURES, 2)
    after = {clip.id: clip.split for clip in CorpusStore.open(tmp_path / "data").clips}
    assert len(after) == 7
    assert {key: after[key] for key in before} == before


def test_removed_files_leave_the_dataset_and_the_cache(source: Path, tmp_path: Path) -> None:
    prepare_dataset(make_job(source, tmp_path / "data"))
    (source / "01.wav").unlink()

    prepare_dataset(make_job(source, tmp_path / "data"))

    store = CorpusStore.open(tmp_path / "data")
    assert sorted({clip.source for clip in store.clips}) == ["00.wav", "02.wav", "03.wav", "04.wav"]
    assert len(list((tmp_path / "data" / "cache").iterdir())) == 4


def test_renamed_file_is_not_computed_again(source: Path, tmp_path: Path) -> None:
    prepare_dataset(make_job(source, tmp_path / "data"))
    (source / "01.wav").rename(source / "zz.wav")

    work = prepare_dataset(make_job(source, tmp_path / "data"))["work"]

    assert work["files_read"] == 0
    assert work["files_computed"] == dict.fromkeys(FEATURES, 0)


def test_another_pitch_group_recomputes_only_f0(source: Path, tmp_path: Path) -> None:
    prepare_dataset(make_job(source, tmp_path / "data"))
    before = json.loads((tmp_path / "data" / "dataset.json").read_text())["files"]

    work = prepare_dataset(make_job(source, tmp_path / "data", "pitch=dio"))["work"]

    assert work["files_read"] == 0
    assert work["files_computed"] == {**dict.fromkeys(FEATURES, 0), "f0_hz": 5}
    after = json.loads((tmp_path / "data" / "dataset.json").read_text())["files"]
    assert {name for name in before if before[name] != after[name]} == {"f0_hz"}


def test_another_encoder_recomputes_only_content(source: Path, tmp_path: Path) -> None:
    prepare_dataset(make_job(source, tmp_path / "data"))

    work = prepare_dataset(make_job(source, tmp_path / "data", "content.seed=1"))["work"]

    assert work["files_computed"] == {**dict.fromkeys(FEATURES, 5), "f0_hz": 0, "loudness_db": 0}


def test_another_reading_setting_recomputes_everything(source: Path, tmp_path: Path) -> None:
    prepare_dataset(make_job(source, tmp_path / "data"))

    work = prepare_dataset(make_job(source, tmp_path / "data", "preprocess.highpass_hz=60"))["work"]

    assert work["files_read"] == 5
    assert work["files_computed"] == dict.fromkeys(FEATURES, 5)


def test_settings_of_the_split_and_the_workers_recompute_nothing(source: Path, tmp_path: Path) -> None:
    prepare_dataset(make_job(source, tmp_path / "data"))

    work = prepare_dataset(make_job(source, tmp_path / "data", "preprocess.held_out_files=1"))["work"]

    assert (work["files_read"], work["files_computed"]) == (0, dict.fromkeys(FEATURES, 0))
    assert len({clip.source for clip in CorpusStore.open(tmp_path / "data").split("val")}) == 1


@pytest.mark.parametrize("name", ["f0_hz", "waveform"])
def test_damaged_array_is_made_again(source: Path, tmp_path: Path, name: str) -> None:
    prepare_dataset(make_job(source, tmp_path / "data"))
    expected = CorpusStore.open(tmp_path / "data")
    values = [(expected.feature("f0_hz", clip), expected.waveform(clip)) for clip in expected.clips]
    (damaged,) = (tmp_path / "data" / "arrays").glob(f"{name}-*.npy")
    shortened = damaged.read_bytes()[:-40]
    damaged.unlink()  # the opened store keeps the old file
    damaged.write_bytes(shortened)

    work = prepare_dataset(make_job(source, tmp_path / "data"))["work"]

    assert work["files_read"] == (5 if name == "waveform" else 0)
    assert work["files_computed"] == {**dict.fromkeys(FEATURES, 0), "f0_hz": 5 if name == "f0_hz" else 0}
    again = CorpusStore.open(tmp_path / "data")
    for clip, (f0_hz, waveform) in zip(again.clips, values, strict=True):
        assert_array_equal(again.feature("f0_hz", clip), f0_hz)
        assert_array_equal(again.waveform(clip), waveform)


def array_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.npy") if path.parent.name != "arrays")


def test_results_are_not_kept_beside_the_arrays_that_have_them(source: Path, tmp_path: Path) -> None:
    prepare_dataset(make_job(source, tmp_path / "data"))

    assert array_files(tmp_path / "data") == []


@pytest.mark.slow
def test_dataset_that_grew_and_changed_equals_one_made_at_once(source: Path, tmp_path: Path) -> None:
    prepare_dataset(make_job(source, tmp_path / "data"))
    write_sounds(source, sounds(5, 2))
    prepare_dataset(make_job(source, tmp_path / "data"))
    (source / "02.wav").unlink()
    # from waveforms that are nowhere but in the arrays
    prepare_dataset(make_job(source, tmp_path / "data", "pitch=dio", "content.seed=1"))

    prepare_dataset(make_job(source, tmp_path / "fresh", "pitch=dio", "content.seed=1"))

    grown, fresh = CorpusStore.open(tmp_path / "data"), CorpusStore.open(tmp_path / "fresh")
    assert [clip.id for clip in grown.clips] == [clip.id for clip in fresh.clips]
    for clip, other in zip(grown.clips, fresh.clips, strict=True):
        assert_array_equal(grown.waveform(clip), fresh.waveform(other))
        for name in FEATURES:
            assert_array_equal(grown.feature(name, clip), fresh.feature(name, other))


@pytest.mark.parametrize("moment", ["utils.corpus.packing._remove_old", "utils.corpus.cache.Cache.prune"])
def test_run_that_ends_while_it_tidies_up_loses_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    prepare_dataset(make_job(source, tmp_path / "data"))
    write_sounds(source, sounds(5, 1))

    def fail(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(moment, fail)
        prepare_dataset(make_job(source, tmp_path / "data"))
    left = array_files(tmp_path / "data")
    work = prepare_dataset(make_job(source, tmp_path / "data"))["work"]

    assert left
    assert (work["files_read"], work["files_computed"]) == (0, dict.fromkeys(FEATURES, 0))
    assert array_files(tmp_path / "data") == []
    assert len({clip.source for clip in CorpusStore.open(tmp_path / "data").clips}) == 6


def test_opened_dataset_stays_readable_while_it_is_replaced(source: Path, tmp_path: Path) -> None:
    prepare_dataset(make_job(source, tmp_path / "data"))
    opened = CorpusStore.open(tmp_path / "data")
    before = [opened.feature("f0_hz", clip) for clip in opened.clips]
    (source / "00.wav").unlink()

    prepare_dataset(make_job(source, tmp_path / "data", "pitch=dio"))

    for clip, values in zip(opened.clips, before, strict=True):
        assert_array_equal(opened.feature("f0_hz", clip), values)


def test_failing_run_leaves_the_dataset_usable(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare_dataset(make_job(source, tmp_path / "data"))
    before = CorpusStore.open(tmp_path / "data").fingerprint
    write_sounds(source, sounds(5, 1))

    def fail(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("utils.corpus.packing.atomic_write_json", fail)
    with pytest.raises(KeyboardInterrupt):
        prepare_dataset(make_job(source, tmp_path / "data"))

    assert CorpusStore.open(tmp_path / "data").fingerprint == before


def test_only_one_run_works_on_a_dataset(source: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with (tmp_path / "data" / ".lock").open("w") as stream:
        assert try_lock(stream)

        with pytest.raises(DataError, match=r"another preprocess\.py is working"):
            prepare_dataset(make_job(source, tmp_path / "data"))


def test_files_beside_speaker_folders_get_a_speaker_and_a_note(source: Path, tmp_path: Path) -> None:
    write_sounds(source, {"bob/a.wav": voice(1.0, seed=50)})

    report = prepare_dataset(make_job(source, tmp_path / "data"))

    assert [row["name"] for row in report["speakers"]] == ["bob", "source"]
    assert "dataset.speaker=" in report["notes"][0]


def test_given_speaker_name_holds_for_every_folder(source: Path, tmp_path: Path) -> None:
    write_sounds(source, {"disc 2/a.wav": voice(1.0, seed=50)})

    report = prepare_dataset(make_job(source, tmp_path / "data", "dataset.speaker=carol"))

    assert [row["name"] for row in report["speakers"]] == ["carol"]


def test_relative_paths_start_at_the_working_folder(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    prepare_dataset(make_job(Path("source"), Path("data")))

    assert (tmp_path / "data" / "dataset.json").is_file()


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("preprocess.highpass_hz=-1", "preprocess.highpass_hz=-1 is out of range; allowed: between 0 and 500"),
        ("preprocess.held_out_share=2", "preprocess.held_out_share=2 is out of range"),
        ("preprocess.num_workers=1.5", "preprocess.num_workers=1.5 must be a whole number"),
        ("preprocess.peak_db=loud", "preprocess.peak_db=loud must be a number"),
        ("preprocess.content_speeds=0.9", "preprocess.content_speeds=0.9 must be a list"),
        ("dataset.name=../x", "dataset.name='../x' must be a plain name"),
        ("dataset.name=null", "dataset.name is missing"),
    ],
)
def test_bad_setting_is_refused_naming_key_and_what_is_allowed(tmp_path: Path, override: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        job = preprocess_job([f"dataset.source={tmp_path}", override])
        job.folder  # noqa: B018 - a name is asked for where it is needed

    assert words in str(caught.value)


def test_folder_without_dataset_is_refused_with_the_command_to_type(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"no dataset.*python preprocess\.py"):
        CorpusStore.open(tmp_path)


KILLED_FILES = 16


def many(count: int) -> dict[str, np.ndarray]:
    """Different recordings of 8 s, made quickly."""
    base = voice(8.0)
    return {f"{index:02d}.wav": np.roll(base, 1000 * index) for index in range(count)}


def command(source: Path, tmp_path: Path) -> list[str]:
    arguments = [
        f"dataset.source={source}",
        "dataset.name=data",
        f"dataset.root={tmp_path}",
        "audio=16k",
        "content=toy",
    ]
    return [sys.executable, "preprocess.py", *arguments, "preprocess.num_workers=1"]


@dataclass
class KilledRun:
    """What a killed run left behind."""

    source: Path
    place: Path
    parts_done: int
    workers: list[int]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> KilledRun:
    place = tmp_path_factory.mktemp("killed")
    write_sounds(place / "source", many(KILLED_FILES))
    process = subprocess.Popen(command(place / "source", place), cwd=ROOT, stderr=subprocess.DEVNULL)
    cache = place / "data" / "cache"
    deadline = time.monotonic() + 300
    while len(list(cache.glob("*/loudness_db-*.npy"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    workers = [int(word) for word in children.read_text().split()] if children.exists() else []
    process.send_signal(signal.SIGKILL)
    process.wait()
    return KilledRun(place / "source", place, len(list(cache.glob("*/loudness_db-*.npy"))), workers)


@pytest.mark.slow
def test_workers_end_with_a_killed_run(killed: KilledRun) -> None:
    if not killed.workers:
        pytest.skip("needs /proc to find the workers")

    deadline = time.monotonic() + 60
    while any(is_running(worker) for worker in killed.workers) and time.monotonic() < deadline:
        time.sleep(0.05)

    assert not any(is_running(worker) for worker in killed.workers)


@pytest.mark.slow
def test_killed_run_goes_on_where_it_was(killed: KilledRun) -> None:
    subprocess.run(command(killed.source, killed.place), cwd=ROOT, check=True, capture_output=True)

    work = json.loads((killed.place / "data" / "report.json").read_text())["work"]
    assert 3 <= killed.parts_done < KILLED_FILES
    assert work["files_read"] == 0
    assert 0 < work["files_computed"]["loudness_db"] <= KILLED_FILES - killed.parts_done
    assert not list((killed.place / "data").rglob("*.tmp"))
    assert len(CorpusStore.open(killed.place / "data").clips) >= KILLED_FILES


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
def test_forty_minute_file_is_read_in_bounded_memory_and_without_loss(tmp_path: Path) -> None:
    import tracemalloc

    import soundfile

    minute = np.concatenate([voice(20.0, seed=1), silence(2.0), voice(38.0, seed=2)])
    with soundfile.SoundFile(tmp_path / "long.flac", "w", RATE, 1) as stream:
        for _ in range(40):
            stream.write(minute)
    job = preprocess_job(["audio=24k"])
    tracemalloc.start()

    recording = read_recording(tmp_path / "long.flac", job.audio, job.preprocess, tmp_path / "waveform.npy")

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200 << 20  # the samples alone are 230 MB as float32
    assert recording.seconds == 2400.0
    assert recording.num_frames / 100 == pytest.approx(40 * 58.5, abs=2)
    assert len(np.load(tmp_path / "waveform.npy", mmap_mode="r")) == recording.num_frames * job.audio.hop_length


def test_dataset_is_not_replaced_by_recordings_of_somebody_else(source: Path, tmp_path: Path) -> None:
    prepare_dataset(make_job(source, tmp_path / "data"))
    before = {path: path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()}
    write_sounds(tmp_path / "other", sounds(7, 2))

    with pytest.raises(DataError, match=r"data was made of .*source, and none of its recordings is in .*other; choose"):
        prepare_dataset(make_job(tmp_path / "other", tmp_path / "data"))

    assert {path: path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()} == before


def test_source_that_moved_and_grew_updates_its_dataset(source: Path, tmp_path: Path) -> None:
    before = prepare_dataset(make_job(source, tmp_path / "data"))["work"]
    moved = source.rename(tmp_path / "moved")
    write_sounds(moved, sounds(7, 1))

    work = prepare_dataset(make_job(moved, tmp_path / "data"))["work"]

    assert (work["files_read"], work["files_reused"]) == (1, before["files_read"])
