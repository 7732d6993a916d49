"""The FAISS index over content features."""

from pathlib import Path

import numpy as np
import pytest

from utils.errors import ConfigError, DataError, FormatError
from utils.features.index import IndexOptions, build_index, load_index, save_index


def clustered(count: int, seed: int, dim: int = 16) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((40, dim))
    return (centres[rng.integers(40, size=count)] + 0.3 * rng.standard_normal((count, dim))).astype(np.float16)


def brute_force(vectors: np.ndarray, query: np.ndarray, count: int) -> set[int]:
    return set(np.argsort(np.square(vectors.astype(np.float64) - query).sum(1))[:count].tolist())


def test_search_finds_the_true_neighbours_as_often_as_promised() -> None:
    vectors, queries = clustered(6000, 0), clustered(200, 1)

    index = build_index([vectors], queries, IndexOptions(target_recall=0.99))

    _, ids = index.search(queries)
    pairs = zip(queries, ids.tolist(), strict=True)
    hits = sum(len(brute_force(vectors, query, 8) & set(found)) for query, found in pairs)
    assert hits / (8 * len(queries)) >= 0.985
    assert index.report.recall >= 0.99
    assert index.report.num_lists > 1
    assert index.report.effort < index.report.num_lists


def test_vectors_of_each_speaker_stand_together() -> None:
    index = build_index([clustered(100, 0), clustered(0, 1), clustered(300, 2)], None, IndexOptions())

    assert [(item.first, item.count) for item in index.report.speakers] == [(0, 100), (100, 0), (100, 300)]
    assert index.index.ntotal == 400


def test_the_largest_number_of_vectors_is_shared_by_the_speakers() -> None:
    index = build_index([clustered(500, 0), clustered(50, 1)], None, IndexOptions(max_vectors=200))

    assert [item.count for item in index.report.speakers] == [100, 50]
    assert (index.report.num_vectors, index.report.num_frames) == (150, 550)


@pytest.mark.parametrize("count", [1, 5, 39, 100])
def test_few_frames_are_enough(count: int) -> None:
    vectors = clustered(count, 0)

    index = build_index([vectors], None, IndexOptions())

    distances, ids = index.search(vectors[:1].astype(np.float32), 1)
    assert distances[0, 0] == pytest.approx(0, abs=1e-4)
    assert ids[0, 0] == 0
    assert index.report.recall == 1.0


def test_written_index_reads_back_with_its_number_of_probes(tmp_path: Path) -> None:
    index = build_index([clustered(3000, 0)], clustered(100, 1), IndexOptions())
    path = tmp_path / "v.index"

    save_index(index, path)
    loaded = load_index(path)

    assert loaded.nprobe == index.report.effort
    assert loaded.ntotal == 3000
    np.testing.assert_allclose(loaded.reconstruct_n(0, 3000), clustered(3000, 0), atol=1.1e-3, rtol=0)
    assert [item.name for item in tmp_path.iterdir()] == ["v.index"]


def test_same_frames_give_the_same_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_index(build_index([clustered(2000, 0)], None, IndexOptions()), tmp_path / name)

    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_no_frame_at_all_is_an_error() -> None:
    with pytest.raises(DataError, match="no training frame"):
        build_index([clustered(0, 0)], None, IndexOptions())


def test_features_that_are_not_finite_are_an_error() -> None:
    vectors = clustered(50, 0)
    vectors[3, 2] = np.nan

    with pytest.raises(DataError, match="NaN"):
        build_index([vectors], None, IndexOptions())


def test_missing_and_damaged_files_are_one_line(tmp_path: Path) -> None:
    damaged = tmp_path / "x.index"
    damaged.write_bytes(b"no index")

    for path, message in ((tmp_path / "none.index", "does not exist"), (damaged, "no FAISS index")):
        with pytest.raises(FormatError, match=message):
            load_index(path)


def test_options_out_of_range_name_the_key() -> None:
    with pytest.raises(ConfigError, match=r"retrieval\.max_vectors=0"):
        IndexOptions(max_vectors=0)
    with pytest.raises(ConfigError, match=r"retrieval\.target_recall=2"):
        IndexOptions(target_recall=2)
