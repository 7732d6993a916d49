"""A dataset made of shards is the one that a single run makes; a merge refuses what does not belong together."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from preprocess import main
from tests.tools.corpus_tools import make_job, write_sounds
from utils.audio.synthetic_speech import silence, voice
from utils.config import run_script
from utils.config.preprocess import PreprocessJob, preprocess_job
from utils.corpus import preprocess
from utils.corpus.merging import merge_shards, prepare_shard
from utils.corpus.pipeline import prepare_dataset
from utils.corpus.shards import Shard, assign_shards
from utils.errors import ConfigError, DataError

COUNT = 3


def make_source(folder: Path) -> Path:
    """Two speakers; a copy, a copy in another format, silence, damaged, empty and very short files."""
    noise = np.random.default_rng(0).normal(0, 0.1, 3000)
    sounds = {f"anna/{index}.wav": voice(1.0 + index / 8, seed=index) for index in range(3)}
    sounds |= {"bert/0.wav": voice(1.1, seed=20, f0_hz=110), "bert/click.wav": noise, "bert/short.wav": voice(0.3)}
    sounds |= {"anna/quiet.wav": silence(1.0), "anna/zero.wav": np.zeros(0)}
    write_sounds(folder, sounds)
    samples, rate = soundfile.read(folder / "anna" / "1.wav", dtype="int16")
    write_sounds(folder, {"bert/same_sound.flac": samples}, rate)
    (folder / "bert" / "copy.wav").write_bytes((folder / "anna" / "0.wav").read_bytes())
    (folder / "anna" / "damaged.wav").write_bytes(b"RIFF but nothing else")
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_source(tmp_path_factory.mktemp("shards") / "source")


@pytest.fixture(scope="module")
def whole(source: Path) -> Path:
    folder = source.parent / "whole" / "data"
    prepare_dataset(make_job(source, folder))
    return folder


def run_shards(source: Path, folder: Path, *overrides: str, numbers: tuple[int, ...] = (2, 3, 1)) -> None:
    for number in numbers:
        prepare_shard(make_job(source, folder, *overrides), Shard(number, COUNT))


@pytest.fixture(scope="module")
def all_shards(source: Path) -> Path:
    run_shards(source, source.parent / "sharded" / "data")
    return source.parent / "sharded" / "data"


@pytest.fixture
def prepared(all_shards: Path, tmp_path: Path) -> Path:
    """A copy of a dataset whose shards are complete and not merged."""
    return Path(shutil.copytree(all_shards, tmp_path / "data"))


def content(folder: Path) -> dict[str, bytes]:
    """Everything in a dataset but its cache and the report of the work."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in ("report.json", ".lock")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files if "cache" not in path.parts}


def test_merged_shards_are_byte_for_byte_the_dataset_of_one_run(source: Path, whole: Path, prepared: Path) -> None:
    report = merge_shards(make_job(source, prepared), COUNT)

    merged, expected = content(prepared), content(whole)
    assert sorted(merged) == sorted(expected)
    assert [name for name in merged if merged[name] != expected[name]] == []
    alone = json.loads((whole / "report.json").read_text())
    assert {key: value for key, value in report.items() if key != "work"} == {
        key: value for key, value in alone.items() if key != "work"
    }
    assert len(alone["dropped"]) == 6
    assert not (prepared / "shards").exists()


@pytest.mark.slow
def test_shard_that_was_interrupted_goes_on_where_it_was(
    source: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("utils.corpus.merging._file_records", stop)
        run_shards(source, prepared, numbers=(2,))
    with pytest.raises(DataError, match=r"1 of 3 shards are missing.*: 2/3; run them with dataset\.shard=2/3"):
        merge_shards(make_job(source, prepared), COUNT)
    with pytest.raises(DataError, match=r"there are shards of 3, see dataset\.merge"):
        merge_shards(make_job(source, prepared), 5)

    outcome = prepare_shard(make_job(source, prepared), Shard(2, COUNT))

    assert set(outcome.work["files_computed"].values()) == {0}
    assert 0 < outcome.num_files < outcome.num_all
    merge_shards(make_job(source, prepared), COUNT)


def test_merge_refuses_shards_of_other_settings(source: Path, prepared: Path) -> None:
    run_shards(source, prepared, "content.seed=1", numbers=(2,))

    with pytest.raises(DataError, match=r"shard 2/3 was made with other settings \(content, content_perturbed_0"):
        merge_shards(make_job(source, prepared), COUNT)
    with pytest.raises(DataError, match=r"shard 1/3 was made with other settings \(f0_hz differ\)"):
        merge_shards(make_job(source, prepared, "pitch=dio"), COUNT)

    assert not (prepared / "dataset.json").exists()


def test_merge_refuses_damaged_results_and_the_shard_repairs_them(source: Path, whole: Path, prepared: Path) -> None:
    damaged = sorted((prepared / "cache").glob("*/f0_hz-*.npy"))[0]
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\1")

    with pytest.raises(DataError, match=r"1 results are damaged or gone.*dataset\.shard=\d/3$") as caught:
        merge_shards(make_job(source, prepared), COUNT)
    run_shards(source, prepared, numbers=(int(str(caught.value)[-3]),))
    merge_shards(make_job(source, prepared), COUNT)

    assert content(prepared) == content(whole)


def test_merge_refuses_a_damaged_record(source: Path, prepared: Path) -> None:
    record = Shard(2, COUNT).record_path(prepared)
    record.write_text(record.read_text().replace('"index": ', '"index": 1'))

    with pytest.raises(DataError, match=r"00002-of-00003\.json is damaged.*run dataset\.shard=2/3 again"):
        merge_shards(make_job(source, prepared), COUNT)


def test_merge_refuses_a_source_that_changed(tmp_path: Path) -> None:
    write_sounds(tmp_path / "source", {f"{index}.wav": voice(1.0, seed=index) for index in range(4)})
    job = make_job(tmp_path / "source", tmp_path / "data")
    prepare_shard(job, Shard(1, 2))
    prepare_shard(job, Shard(2, 2))

    write_sounds(tmp_path / "source", {"2.wav": voice(1.0, seed=9)})
    with pytest.raises(DataError, match=r"2\.wav has changed since it was prepared; run dataset\.shard=./2 again"):
        merge_shards(job, 2)
    write_sounds(tmp_path / "source", {"9.wav": voice(1.0, seed=10)})
    with pytest.raises(DataError, match=r"saw other files in dataset\.source"):
        merge_shards(job, 2)

    assert not (tmp_path / "data" / "dataset.json").exists()


@pytest.mark.slow
def test_dataset_grows_by_the_same_shards_without_computing_anything_twice(tmp_path: Path) -> None:
    source = tmp_path / "source"
    jobs = {name: make_job(source, tmp_path / name / "data") for name in ("parts", "alone")}
    write_sounds(source, {f"{index}.wav": voice(1.0, seed=index) for index in range(4)})
    prepare_dataset(jobs["alone"])
    for number in (1, 2):
        prepare_shard(jobs["parts"], Shard(number, 2))
    merge_shards(jobs["parts"], 2)

    write_sounds(source, {f"{index}.wav": voice(1.0, seed=index) for index in (4, 5)})
    outcomes = [prepare_shard(jobs["parts"], Shard(number, 2)) for number in (1, 2)]
    merge_shards(jobs["parts"], 2)

    assert sum(outcome.work["files_read"] for outcome in outcomes) == 2
    assert sum(outcome.work["files_computed"]["content"] for outcome in outcomes) == 2
    prepare_dataset(jobs["alone"])
    assert content(tmp_path / "parts" / "data") == content(tmp_path / "alone" / "data")


def test_second_process_on_a_shard_is_refused_and_another_shard_is_not(source: Path, tmp_path: Path) -> None:
    from utils.corpus.pipeline import lock_dataset

    first = Shard(1, COUNT).record_path(tmp_path / "data").with_suffix("")
    with lock_dataset(tmp_path / "data", shared=True), lock_dataset(first):
        with pytest.raises(DataError, match=r"another preprocess\.py is working on .*00001-of-00003"):
            run_shards(source, tmp_path / "data", numbers=(1,))
        with pytest.raises(DataError, match=r"another preprocess\.py is working"):
            merge_shards(make_job(source, tmp_path / "data"), COUNT)
        run_shards(source, tmp_path / "data", numbers=(2,))

    assert Shard(2, COUNT).record_path(tmp_path / "data").is_file()


def test_files_are_spread_by_their_size() -> None:
    chosen = assign_shards([100, 10, 10, 10, 10, 60], 2)

    loads = [
        sum(size for size, number in zip([100, 10, 10, 10, 10, 60], chosen, strict=True) if number == n) for n in (1, 2)
    ]
    assert loads == [100, 100]
    assert set(assign_shards([0] * 6, 3)) == {1, 2, 3}


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("dataset.shard=3", "dataset.shard=3 cannot be read; for the third of 64 parts type dataset.shard=3/64"),
        ("dataset.shard=0/4", "dataset.shard=0/4 must be one of 1/4 to 4/4"),
        ("dataset.shard=5/4", "dataset.shard=5/4 must be one of 1/4 to 4/4"),
        ("dataset.merge=all", "dataset.merge=all must be a whole number or null, for example 64"),
        ("dataset.merge=0", "dataset.merge=0 must be the number of shards"),
    ],
)
def test_bad_syntax_is_refused_with_what_to_type(override: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        preprocess(preprocess_job(["dataset.source=s", "dataset.name=n", override]))

    assert words in str(caught.value)


def test_shard_and_merge_together_are_refused() -> None:
    with pytest.raises(ConfigError, match="two steps"):
        preprocess_job(["dataset.shard=1/2", "dataset.merge=2"])


@pytest.mark.slow
def test_preprocess_script_prepares_a_shard_and_refuses_an_early_merge(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"dataset.source={source}", "dataset.name=data", f"dataset.root={tmp_path}", "audio=16k", "content=toy"]
    words += ["preprocess.num_workers=0"]

    monkeypatch.setattr(sys, "argv", ["preprocess.py", *words, "dataset.shard=1/4"])
    run_script(PreprocessJob, main)
    done = capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["preprocess.py", *words, "dataset.merge=4"])
    with pytest.raises(SystemExit) as caught:
        run_script(PreprocessJob, main)
    early = capsys.readouterr().err

    assert "shard 1/4: " in done.out and "dataset.merge=4" in done.out
    assert caught.value.code == 2
    assert early.count("\n") == 1
    assert "3 of 4 shards are missing" in early and "2/4, 3/4, 4/4" in early
