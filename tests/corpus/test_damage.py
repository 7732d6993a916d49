"""A dataset knows when it is not what was written: whatever is damaged is named, and nothing of it is used."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from tests.tools.corpus_tools import forget_checksums, make_job, write_sounds
from utils.audio.batch import VoiceBatch
from utils.audio.synthetic_speech import voice
from utils.corpus import shards
from utils.corpus import store as store_module
from utils.corpus.arrays import Rows, save_array
from utils.corpus.datamodule import VoiceDataModule
from utils.corpus.description import read_description
from utils.corpus.pipeline import prepare_dataset
from utils.corpus.shards import FileRecord, Shard, ShardRecord
from utils.corpus.store import CorpusStore
from utils.corpus.stored_array import BLOCK_BYTES, DamagedFileError, StoredArray
from utils.errors import DataError, FormatError

REMEDY = r"run preprocess\.py again"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("damage")
    write_sounds(place / "source", {f"{index}.wav": voice(1.0, seed=index) for index in range(4)})
    prepare_dataset(make_job(place / "source", place / "data"))
    return place / "data"


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy of the dataset, to be damaged."""
    for path in whole.rglob("*"):
        if path.is_file():
            target = tmp_path / "data" / path.relative_to(whole)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return tmp_path / "data"


@pytest.fixture
def lazy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every dataset for a large one, of which parts are verified when they are read."""
    monkeypatch.setattr(store_module, "VERIFIED_AT_ONCE", 0)


def everything(folder: Path) -> dict[str, Any]:
    """Return all that a training can see of a dataset."""
    store = CorpusStore.open(folder)
    names = ["waveform", *store.description.features]
    arrays = {name: store.arrays.read(name, 0, store.arrays.num_rows(name)).tobytes() for name in names}
    return {**arrays, "clips": store.clips, "hash": store.description.training_hash}


def flip(path: Path, place: int, bits: int = 1) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= bits
    path.write_bytes(data)


def array_of(folder: Path, name: str) -> Path:
    (path,) = (folder / "arrays").glob(f"{name}-*.npy")
    return path


def module(folder: Path, num_workers: int = 0) -> VoiceDataModule:
    return VoiceDataModule(
        CorpusStore.open(folder), batch_size=3, segment_frames=50, num_workers=num_workers, seed=1,
        perturbed_share=0.5, val_segment_frames=100,
    )  # fmt: skip


def batches(folder: Path, count: int = 8) -> list[VoiceBatch]:
    loader = iter(module(folder).train_dataloader())
    return [next(loader) for _ in range(count)]


@pytest.mark.parametrize("at_once", [True, False])
def test_no_changed_byte_of_any_file_changes_what_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    if not at_once:
        monkeypatch.setattr(store_module, "VERIFIED_AT_ONCE", 0)
    rng = np.random.default_rng(5)
    expected = everything(folder)
    refused = 0
    for path in [*sorted((folder / "arrays").iterdir()), next(folder.glob("manifest-*")), folder / "dataset.json"]:
        data = path.read_bytes()
        for place in [*rng.integers(len(data), size=12), 0, 60, len(data) - 1]:
            flip(path, int(place), int(rng.integers(1, 256)))
            try:
                assert everything(folder) == expected
            except FormatError as error:
                refused += 1
                assert str(path) in str(error) and "\n" not in str(error)
                assert "run preprocess.py again" in str(error)
            path.write_bytes(data)

    assert refused > 100


def test_damage_of_a_small_dataset_is_found_when_it_is_opened(folder: Path) -> None:
    flip(array_of(folder, "content"), 3000)

    with pytest.raises(DamagedFileError, match=f"content-.*a checksum is wrong.*{REMEDY}$"):
        CorpusStore.open(folder)


@pytest.mark.usefixtures("lazy")
def test_damage_of_a_large_dataset_is_found_when_that_part_is_read(folder: Path) -> None:
    path = array_of(folder, "waveform")
    flip(path, path.stat().st_size // 2)
    store = CorpusStore.open(folder)

    store.waveform(store.clips[0], 0, 10)
    with pytest.raises(DamagedFileError, match=f"waveform-.*a checksum is wrong.*{REMEDY}$"):
        for clip in store.clips:
            store.waveform(clip)


def test_file_that_shrinks_is_named_and_ends_no_process(folder: Path) -> None:
    store = CorpusStore.open(folder)
    path = array_of(folder, "waveform")
    os.truncate(path, 4096)

    with pytest.raises(DamagedFileError, match=rf"waveform-.*\(it has become shorter\); {REMEDY}"):
        store.waveform(store.clips[-1])


@pytest.mark.parametrize("change", ["rewritten", "of another dataset", "without checksums"])
def test_array_that_the_dataset_was_not_made_with_is_refused(folder: Path, change: str) -> None:
    path = array_of(folder, "f0_hz")
    values = np.load(path)
    if change == "of another dataset":
        save_array(path, values + 1)
    else:
        np.save(path, values + 1 if change == "rewritten" else values)

    with pytest.raises(DamagedFileError, match="not the file that the dataset was made with"):
        CorpusStore.open(folder)


@pytest.mark.usefixtures("lazy")
@pytest.mark.parametrize("num_workers", [0, 2])
def test_damage_in_the_middle_of_a_training_arrives_as_one_line(folder: Path, num_workers: int) -> None:
    loader = iter(module(folder, num_workers).train_dataloader())
    next(loader)
    path = array_of(folder, "loudness_db")
    flip(path, 200)

    with pytest.raises(DamagedFileError) as caught:
        for _ in range(100):
            next(loader)

    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


@pytest.mark.usefixtures("lazy")
def test_cache_on_the_device_refuses_damage(folder: Path) -> None:
    from utils.corpus.device_cache import CachedSegments

    path = array_of(folder, "content")
    flip(path, path.stat().st_size // 2)

    with pytest.raises(DamagedFileError, match="content-"):
        CachedSegments(module(folder).examples, torch.device("cpu"))


@pytest.mark.slow
def test_dataset_from_before_is_opened_trained_on_and_continued_as_it_was(folder: Path, whole: Path) -> None:
    forget_checksums(folder)

    assert read_description(folder).checksums == {}
    assert CorpusStore.open(folder).description.training_hash == CorpusStore.open(whole).description.training_hash
    for first, second in zip(batches(folder), batches(whole), strict=True):
        for name, value in vars(first).items():
            assert torch.equal(value, getattr(second, name)), name


@pytest.mark.slow
def test_dataset_from_before_gets_checksums_without_computing_anything(folder: Path, whole: Path) -> None:
    forget_checksums(folder)
    before = everything(folder)

    work = prepare_dataset(make_job(whole.parent / "source", folder))["work"]

    assert not any(work["files_computed"].values())
    assert everything(folder) == before
    assert read_description(folder).checksums == read_description(whole).checksums


@pytest.mark.parametrize("name", ["f0_hz", "waveform", "content_perturbed_0"])
def test_prepared_again_only_the_damaged_recordings_are_computed(folder: Path, whole: Path, name: str) -> None:
    expected = everything(folder)
    path = array_of(folder, name)
    flip(path, 300)

    work = prepare_dataset(make_job(whole.parent / "source", folder))["work"]

    assert everything(folder) == expected
    is_one_block = StoredArray(array_of(folder, name)).nbytes < BLOCK_BYTES
    computed = {**work["files_computed"], "waveform": work["files_read"]}
    assert {key for key, number in computed.items() if number} == {name}
    assert computed[name] < 4 or is_one_block


@pytest.mark.parametrize("damaged", ["dataset.json", "manifest-*", "layout-*"])
def test_damaged_description_is_made_again(
    folder: Path, whole: Path, damaged: str, caplog: pytest.LogCaptureFixture
) -> None:
    expected = everything(folder)
    (path,) = folder.glob(damaged)
    flip(path, path.stat().st_size // 2)

    prepare_dataset(make_job(whole.parent / "source", folder))

    assert everything(folder) == expected
    assert ("held-out recordings are chosen anew" in caplog.text) == (damaged != "layout-*")


def test_damaged_result_in_the_cache_is_computed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job(tmp_path / "source", tmp_path / "data")
    write_sounds(tmp_path / "source", {f"{index}.wav": voice(1.0, seed=index) for index in range(3)})

    def fail(*arguments: object, **words: object) -> None:
        raise DataError("no")

    with monkeypatch.context() as patch, pytest.raises(DataError):
        (tmp_path / "data").mkdir()
        patch.setattr("utils.corpus.completion.pack", fail)
        prepare_dataset(job)
    for pattern in ("waveform-*.npy", "f0_hz-*.npy", "recording-*.json"):
        for path in sorted((tmp_path / "data" / "cache").glob(f"*/{pattern}"))[:1]:
            flip(path, path.stat().st_size // 2)

    work = prepare_dataset(job)["work"]
    prepare_dataset(make_job(tmp_path / "source", tmp_path / "fresh"))

    assert 1 <= work["files_read"] <= 2 and work["files_computed"]["f0_hz"] >= 1
    assert everything(tmp_path / "data") == everything(tmp_path / "fresh")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("speakers", None),
        ("speakers", [{"name": "a", "minutes": "x"}]),
        ("speakers", [{"name": [1]}]),
        ("files", ["x"]),
        ("features", 3),
        ("audio", {"sample_rate": -1}),
        ("held_out", {}),
    ],
)
def test_description_that_makes_no_sense_is_refused_in_one_line(folder: Path, key: str, value: Any) -> None:
    forget_checksums(folder)
    plain = json.loads((folder / "dataset.json").read_text("utf-8"))
    (folder / "dataset.json").write_text(json.dumps(plain | {key: value}), "utf-8")

    with pytest.raises(FormatError, match=rf"dataset\.json is damaged .*{REMEDY}$") as caught:
        CorpusStore.open(folder)

    assert "\n" not in str(caught.value)


def test_checksum_that_has_lost_its_name_is_missed(folder: Path) -> None:
    path = folder / "dataset.json"
    path.write_text(path.read_text("utf-8").replace("file_checksum", "file_checksun"), "utf-8")

    with pytest.raises(DamagedFileError, match="it has no file_checksum"):
        CorpusStore.open(folder)


@pytest.mark.parametrize("text", ["[]", "3", "[" * 100_000, '{"schema_version": NaN}'])
def test_description_that_is_none_is_refused_in_one_line(folder: Path, text: str) -> None:
    (folder / "dataset.json").write_text(text, "utf-8")

    with pytest.raises(FormatError, match=REMEDY):
        CorpusStore.open(folder)


@pytest.mark.parametrize("name", ["../other.npy", "/etc/hostname"])
def test_description_names_no_file_outside_of_its_folder(folder: Path, name: str) -> None:
    forget_checksums(folder)
    plain = json.loads((folder / "dataset.json").read_text("utf-8"))
    plain["files"]["waveform"] = name
    (folder / "dataset.json").write_text(json.dumps(plain), "utf-8")

    with pytest.raises(DamagedFileError, match="is not in its folder"):
        CorpusStore.open(folder)


@pytest.mark.parametrize("shape", [(0,), (1,), (5, 3), (9000,), (40_000, 2)])
def test_array_with_checksums_is_a_numpy_file(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)

    save_array(tmp_path / "a.npy", values)

    array = StoredArray(tmp_path / "a.npy")
    array.verify()
    assert_array_equal(np.load(tmp_path / "a.npy"), values)
    assert_array_equal(array.read(0, len(array)), values)
    assert array.read(0, len(array)).flags.writeable
    rows = np.unique(np.random.default_rng(1).integers(max(1, len(values)), size=50))[: len(values)]
    assert_array_equal(array.gather(rows), values[rows])
    assert_array_equal(Rows(tmp_path / "a.npy", len(values) // 3, len(values) // 2).load(),
                       values[len(values) // 3 :][: len(values) // 2])  # fmt: skip


def test_links_in_a_dataset_of_somebody_lead_to_no_removal(folder: Path, whole: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    (mine / "letters").mkdir(parents=True)
    kept = [mine / "letters" / "1.txt", mine / "thesis.doc", mine / "x.npy", mine / "notes.tmp"]
    for path in kept:
        path.write_text("mine")
    shutil.rmtree(folder / "cache", ignore_errors=True)
    (folder / "cache").symlink_to(mine)
    for path in (folder / "arrays").iterdir():
        path.rename(mine / path.name)
    (folder / "arrays").rmdir()
    (folder / "arrays").symlink_to(mine)

    prepare_dataset(make_job(whole.parent / "source", folder))

    assert [path.read_text() for path in kept] == ["mine"] * 4


@pytest.mark.parametrize("name", ["../../mine.txt", "/mine.txt", "..\\mine.txt", "C:mine.txt", "a/../../mine.txt"])
def test_results_of_a_shard_lie_in_the_cache(name: str, tmp_path: Path) -> None:
    shard = Shard(1, 1)
    ShardRecord(shard, {}, "", [FileRecord(0, "key", (0, 0), outputs={name: "0"})], {}).write(tmp_path)

    with pytest.raises(DataError, match="is not in the cache"):
        shards.read_records(tmp_path, 1)
