"""The kinds of files that benchmarks.damage changes, and how the scripts read each of them."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.fuzz_files import saved, shared_voice
from benchmarks.fuzz_material import RATE, dataset_words, make_material
from utils.audio.synthetic_speech import voice
from utils.config import select
from utils.config.preprocess import preprocess_job
from utils.config.stored_text import read_yaml_file
from utils.corpus.arrays import Rows, matches
from utils.corpus.cache import Cache
from utils.corpus.merging import prepare_shard
from utils.corpus.packed_reader import PackedResults
from utils.corpus.shards import Shard, read_records
from utils.corpus.store import CorpusStore
from utils.corpus.stored_array import StoredArray
from utils.errors import ConfigError
from utils.export.card import read_card
from utils.features.index import load_index
from utils.inference.session import VoiceSession
from utils.rvc.reading import read_foreign
from utils.training.checkpoints import load_voice, read_checkpoint


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        name: of the kind.
        files: to be changed, one at a time.
        read: reads them as the scripts do, and returns what shows every bit of what came of it; parts of a dictionary
            are None where they are computed again.
    """

    name: str
    files: list[Path]
    read: Callable[[], Any]


def make_kinds(work: Path, place: Path) -> list[Kind]:
    """Make the good files in `work` where they are not there, copy them to `place`, and return all kinds."""
    material = make_material(work)
    dataset, run, export = place / "dataset", place / "run", place / "export"
    shutil.copytree(material.dataset, dataset)
    shutil.copytree(material.run, run)
    shutil.copytree(material.voice.parent, export)
    graph, index = export / material.voice.name, next(export.glob("*.index"))
    checkpoint, config = run / "checkpoints" / "best.ckpt", run / "config.yaml"
    shared = place / "shared.pth"
    shared.write_bytes(saved(shared_voice()))
    part = _unfinished(material.recordings, place)
    keys = _keys(dataset)
    rows = {path: len(StoredArray(path)) for path in sorted((part / "cache").rglob("*.npy"))}
    sound = voice(0.4, RATE, seed=1, f0_hz=150.0)[None].astype(np.float32)
    stated = VoiceSession.open(graph).metadata
    sha256 = None if stated is None else stated.index_sha256
    return [
        Kind("dataset array", sorted((dataset / "arrays").iterdir()), lambda: _dataset(dataset)),
        Kind("manifest", sorted(dataset.glob("manifest-*")), lambda: _dataset(dataset)),
        Kind("dataset.json", [dataset / "dataset.json"], lambda: _dataset(dataset)),
        Kind("layout", sorted(dataset.glob("layout-*")), lambda: _packed(dataset, keys)),
        Kind("shard record", sorted((part / "shards").glob("*.json")), lambda: repr(read_records(part, 1))),
        Kind("cache, arrays", sorted((part / "cache").rglob("*.npy")), lambda: _results(rows)),
        Kind("cache, recordings", sorted((part / "cache").rglob("*.json")), lambda: _recordings(part)),
        Kind("checkpoint", [checkpoint], lambda: _plain(read_checkpoint(checkpoint))),
        Kind("codebook", [run / "codebook.safetensors"], lambda: _plain(load_voice(run).converter.state_dict())),
        Kind("config.yaml", [config], lambda: _require_replaceable(config)),
        Kind("graph", [graph], lambda: VoiceSession.open(graph).run(sound).tobytes()),
        Kind("index", [index], lambda: _index(index, sha256)),
        Kind("card.json", [export / "card.json"], lambda: read_card(export)),
        Kind("RVC .pth", [shared], lambda: _plain(read_foreign(shared).weights)),
    ]


def _unfinished(recordings: Path, place: Path) -> Path:
    """Prepare the only shard of a dataset, which is not merged: all its results lie in the cache."""
    prepare_shard(preprocess_job([*dataset_words(recordings, place, "part"), "dataset.shard=1/1"]), Shard(1, 1))
    return place / "part"


def _dataset(folder: Path) -> Any:
    store = CorpusStore.open(folder)
    names = ("waveform", *store.description.features)
    arrays = [store.arrays.read(name, 0, store.arrays.num_rows(name)).tobytes() for name in names]
    return arrays, store.clips, store.description.training_hash, store.description.speakers


def _packed(folder: Path, keys: list[str]) -> dict[str, Any]:
    """Return where preprocess.py finds each recording in the arrays; None where it computes it again."""
    description = CorpusStore.open(folder).description
    fingerprints = {name: item.fingerprint for name, item in description.features.items()}
    hop = description.audio.hop_length
    packed = PackedResults.open(folder, description.reading_fingerprint, fingerprints, hop)
    return {f"{name} {key}": packed.find(name, key) for name in ("waveform", *fingerprints) for key in keys}


def _keys(folder: Path) -> list[str]:
    (path,) = folder.glob("layout-*.json")
    return [str(key) for key, _ in json.loads(path.read_text("utf-8"))]


def _recordings(folder: Path) -> dict[str, Any]:
    """Return what the cache says of each recording; None where it is read again."""
    found = {}
    for path in sorted((folder / "cache").glob("*/recording-*.json")):
        waveform = next(path.parent.glob("waveform-*.npy"))
        cache = Cache(folder / "cache", waveform.stem.partition("-")[2], {}, PackedResults({}, {}, RATE // 100))
        found[str(path)] = cache.load_recording(path.parent.name, RATE // 100)
    return found


def _results(rows: dict[Path, int]) -> dict[str, Any]:
    """Return what each array of the cache holds; None where it is computed again."""
    return {
        str(path): Rows(path, 0, count).load().tobytes() if matches(path, count) else None
        for path, count in rows.items()
    }


def _require_replaceable(path: Path) -> None:
    """Do what a run of the group debug does with the config.yaml of the one before it: refuse to replace any other."""
    if select(read_yaml_file(path), "run.replace", False) is not True:
        raise ConfigError(f"{path} was not made with run.replace=true")


def _index(path: Path, sha256: str | None) -> Any:
    index = load_index(path, sha256)
    return index.reconstruct_n(0, index.ntotal).tobytes()


def _plain(value: Any) -> Any:
    """Return plain data with the bytes of its tensors."""
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), value.detach().contiguous().view(-1).numpy().tobytes()
    if isinstance(value, dict):
        return [(str(key), _plain(item)) for key, item in value.items()]
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
