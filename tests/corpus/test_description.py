"""The typed description of a dataset: written as before, read to the letter, whatever version wrote it."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from tests.tools.corpus_tools import RATE, described, make_job, write_sounds
from utils.audio.synthetic_speech import voice
from utils.corpus.description import DatasetDescription
from utils.corpus.pipeline import prepare_dataset
from utils.corpus.signed_json import signed
from utils.corpus.split import HeldOutSettings
from utils.corpus.store import CorpusStore
from utils.errors import FormatError
from utils.files import sha256_of_json

KEYS = [
    "schema_version", "name", "source", "audio", "reading", "reading_fingerprint", "content_speeds",
    "content_noise_db", "content_room_seconds", "held_out", "speakers", "features", "files", "checksums",
    "file_checksum",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("data")
    write_sounds(place / "source", {f"anna/{index}.wav": voice(1.2, seed=index, f0_hz=190.0) for index in range(2)})
    prepare_dataset(make_job(place / "source", place / "tiny", "preprocess.content_room_seconds=[0.4]"))
    return place / "tiny"


@pytest.fixture
def plain(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "dataset.json").read_text("utf-8"))
    return content


def test_file_has_the_same_keys_in_the_same_order(plain: dict[str, Any]) -> None:
    assert list(plain) == KEYS
    assert list(plain["features"]) == [
        "content", "content_perturbed_0", "content_perturbed_1", "content_room_0", "f0_hz", "loudness_db",
    ]  # fmt: skip
    assert all(list(row) == ["fingerprint", "identity", "config", "dim", "dtype"] for row in plain["features"].values())
    assert list(plain["speakers"][0]) == ["name", "minutes", "files", "clips", "held_out_minutes", "f0_median_hz"]
    assert list(plain["files"]) == ["waveform", *plain["features"], "manifest", "layout"]
    assert list(plain["checksums"]) == ["waveform", *plain["features"]]


def test_what_is_read_is_what_was_written(plain: dict[str, Any]) -> None:
    read = DatasetDescription.from_plain(plain)

    assert json.dumps(signed(dataclasses.replace(read, original=None).to_plain())) == json.dumps(plain)


def test_typed_values_are_those_of_the_file(plain: dict[str, Any]) -> None:
    read = DatasetDescription.from_plain(plain)

    assert read.audio.sample_rate == RATE
    assert read.content_dim == plain["features"]["content"]["dim"]
    assert read.speaker_names == ["anna"] and read.speakers[0].files == 2
    assert read.held_out == HeldOutSettings(share=0.05, min_files=2)
    assert read.content_copies["content_room_seconds"] == (0.4,)
    assert read.f0_convention == "zero_unvoiced"


def test_keys_of_another_version_are_kept_to_the_letter(plain: dict[str, Any]) -> None:
    """The hash by which a run knows its dataset is that of the file, not of what this version would write."""
    older = {key: value for key, value in plain.items() if key not in ("held_out", "content_noise_db")}
    newer = plain | {"new": 1, "speakers": [{**row, "mood": "glad"} for row in plain["speakers"]]}

    for other in (older, newer):
        read = DatasetDescription.from_plain(other)

        assert read.to_plain() == other
        named = ("name", "source", "checksums", "file_checksum")
        assert read.training_hash == sha256_of_json({key: other[key] for key in other if key not in named})


def test_name_and_source_do_not_decide_the_numbers(plain: dict[str, Any]) -> None:
    """Nor do checksums: a run whose dataset has got some since goes on."""
    moved = DatasetDescription.from_plain(plain | {"name": "other", "source": "/elsewhere", "checksums": {}})
    other = DatasetDescription.from_plain(plain | {"reading_fingerprint": "another"})

    assert moved.training_hash == DatasetDescription.from_plain(plain).training_hash != other.training_hash


def test_fingerprint_covers_features_manifest_and_speakers(folder: Path, plain: dict[str, Any]) -> None:
    features = {name: item["fingerprint"] for name, item in plain["features"].items()}

    expected = sha256_of_json([plain["reading_fingerprint"], features, plain["files"]["manifest"], ["anna"]])

    assert CorpusStore.open(folder).fingerprint == expected


def test_tracker_may_have_another_convention() -> None:
    assert described(content={}, pitch={"unvoiced": "interpolated"}).f0_convention == "interpolated"


@pytest.mark.parametrize(("reading", "expected"), [({"highpass_hz": 60}, 60.0), ({"highpass_hz": 0}, 0.0), ({}, 0.0)])
def test_highpass_is_that_of_the_recordings(plain: dict[str, Any], reading: dict[str, Any], expected: float) -> None:
    assert DatasetDescription.from_plain({**plain, "reading": reading}).highpass_hz == expected


@pytest.mark.parametrize("stated", [-1, 501, "forty", None, True, float("nan")])
def test_highpass_that_cannot_be_is_refused_in_one_line(plain: dict[str, Any], stated: Any) -> None:
    with pytest.raises(FormatError, match="says highpass_hz=") as caught:
        _ = DatasetDescription.from_plain({**plain, "reading": {"highpass_hz": stated}}).highpass_hz

    assert "\n" not in str(caught.value)
