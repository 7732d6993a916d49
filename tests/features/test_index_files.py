"""An index of a stranger is read only if it is of a kind of ours, not longer than its file, and the one wanted."""

import struct
from pathlib import Path

import numpy as np
import pytest

from utils.errors import FormatError
from utils.features.index import IndexOptions, build_index, load_index, save_index
from utils.features.index_kinds import KINDS, faiss_library
from utils.files import sha256_of_file

VECTORS = np.random.default_rng(0).standard_normal((120, 8)).astype(np.float16)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_index(build_index([VECTORS], None, IndexOptions()), tmp_path / "v.index")
    return tmp_path / "v.index"


def refusal(path: Path, sha256: str | None = None) -> str:
    with pytest.raises(FormatError) as caught:
        load_index(path, sha256)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_ours_is_read(tmp_path: Path, kind: str) -> None:
    index = build_index([VECTORS], None, IndexOptions(kind=kind, target_recall=0.5))
    save_index(index, tmp_path / "v.index")

    assert load_index(tmp_path / "v.index").ntotal == 120


def test_one_that_is_not_its_voices_is_refused(path: Path) -> None:
    assert load_index(path, sha256_of_file(path)).ntotal == 120

    assert "another SHA-256" in refusal(path, "0" * 64)


@pytest.mark.parametrize("recipe", ["PCA4,Flat", "SQ8", "IVF2,SQ8"])
def test_another_kind_is_named_as_such(tmp_path: Path, recipe: str) -> None:
    faiss = faiss_library()
    index = faiss.index_factory(8, recipe)
    index.train(VECTORS.astype(np.float32))
    faiss.write_index(index, str(tmp_path / "v.index"))

    assert "no FAISS index of a kind that is read here" in refusal(tmp_path / "v.index")


def test_an_index_whose_vectors_lie_in_another_file_is_refused(tmp_path: Path) -> None:
    faiss = faiss_library()
    if not hasattr(faiss, "OnDiskInvertedLists"):
        pytest.skip("this build of faiss has no lists on disk")
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(8), 8, 2, faiss.METRIC_L2)
    index.train(VECTORS.astype(np.float32))
    lists = faiss.OnDiskInvertedLists(2, index.code_size, str(tmp_path / "lists"))
    index.replace_invlists(lists)
    index.add(VECTORS.astype(np.float32))
    faiss.write_index(index, str(tmp_path / "v.index"))

    message = refusal(tmp_path / "v.index")

    assert "lie in another file" in message or "no FAISS index" in message


@pytest.mark.parametrize("count", [2**20, 2**40, 2**62, 2**64 - 1])
def test_a_list_longer_than_its_file_is_refused_before_memory_is_taken(path: Path, count: int) -> None:
    data = path.read_bytes()
    place = data.index(struct.pack("<Q", 120 // 39 * 8))  # numbers of the coarse centres
    path.write_bytes(data[:place] + struct.pack("<Q", count) + data[place + 8 :])

    refusal(path)


def test_a_cut_file_is_refused(path: Path) -> None:
    whole = path.read_bytes()

    for length in (0, 3, 4, 20, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        refusal(path)
