"""Retrieval files of So-VITS-SVC: their vectors are read, nothing in them is run, and damage is one line."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.tools.rvc_tools import settings_of
from tests.tools.sovits_tools import small_sovits, sovits_config, sovits_files
from utils.errors import FormatError, WorkbenchError
from utils.export.rvc import imported_voice as imported
from utils.export.rvc.cluster_retrieval import cluster_retrieval
from utils.features.index_kinds import faiss_library
from utils.rvc.clusters import read_clusters

DIM = 16
VECTORS = np.random.default_rng(0).standard_normal((60, DIM)).astype(np.float32)


class Dangerous:
    """Runs a command when it is unpickled without care."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.target}",)


def kmeans(vectors: np.ndarray) -> dict[str, Any]:
    return {"n_features_in_": vectors.shape[-1], "_n_threads": 4, "cluster_centers_": vectors}


def kmeans_file(folder: Path, **speakers: np.ndarray) -> Path:
    torch.save({name: kmeans(vectors) for name, vectors in speakers.items()}, folder / "kmeans_10.pt")
    return folder / "kmeans_10.pt"


def index_of(vectors: np.ndarray, lists: int = 4) -> Any:
    faiss = faiss_library()
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(DIM), DIM, lists)
    index.cp.min_points_per_centroid = 1
    index.train(VECTORS)
    index.add(vectors)
    return index


def index_file(folder: Path, content: Any) -> Path:
    path = folder / "feature_and_index.pkl"
    path.write_bytes(pickle.dumps(content))
    return path


def refusal(path: Path) -> str:
    with pytest.raises(FormatError) as caught:
        read_clusters(path)
    message = str(caught.value)
    assert "\n" not in message and str(path) in message
    return message


@pytest.mark.parametrize("change", [np.float64, np.asfortranarray, np.asarray], ids=["double", "columns", "plain"])
def test_centres_are_read(change: Callable[[np.ndarray], np.ndarray], tmp_path: Path) -> None:
    read = read_clusters(kmeans_file(tmp_path, anna=change(VECTORS[:10]), bert=change(VECTORS[10:15])))

    assert list(read) == ["anna", "bert"]
    assert np.array_equal(read["anna"], VECTORS[:10]) and np.array_equal(read["bert"], VECTORS[10:15])


@pytest.mark.parametrize("count", [60, 2], ids=["full lists", "mostly empty lists"])
def test_vectors_of_an_index_are_those_that_faiss_has(count: int, tmp_path: Path) -> None:
    read = read_clusters(index_file(tmp_path, {3: index_of(VECTORS[:count], 16)}))

    assert list(read) == [3]
    assert sorted(map(tuple, read[3])) == sorted(map(tuple, VECTORS[:count]))


@pytest.mark.parametrize("where", ["archive", "pickle", "inside an array", "behind an index"])
def test_planted_code_is_named_and_not_run(where: str, tmp_path: Path) -> None:
    marker, path = tmp_path / "was_run", tmp_path / "planted"
    contents: dict[str, dict[Any, Any]] = {
        "archive": {"anna": kmeans(VECTORS), "bert": Dangerous(marker)},
        "pickle": {0: Dangerous(marker)},
        "inside an array": {"anna": kmeans(np.array([[Dangerous(marker)]], dtype=object))},
        "behind an index": {0: index_of(VECTORS), 1: Dangerous(marker)},
    }
    if where == "archive":
        torch.save(contents[where], path)
    else:
        path.write_bytes(pickle.dumps(contents[where]))

    message = refusal(path)

    # an array of objects is refused for what it is, before what is in it is looked at
    assert ("kind 'O8'" if where == "inside an array" else "posix.system while it is read") in message
    assert not marker.exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([1, 2], "it holds no table of speakers"),
        ({}, "it holds no table of speakers"),
        ({"anna": 3}, "it holds no vectors of a speaker"),
        ({(1, 2): kmeans(VECTORS)}, "it has the speaker"),
        ({"anna": kmeans(VECTORS[0])}, "it holds no vectors of a speaker"),
        ({"anna": kmeans(np.full((2, DIM), np.nan))}, "it holds no vectors of a speaker"),
        ({"anna": kmeans(np.zeros((2, DIM), dtype=np.int64))}, "it holds numbers of the kind"),
        ({"anna": kmeans(np.zeros((2, DIM), dtype=">f4"))}, "its numbers have another order of bytes"),
    ],
)
def test_what_is_no_such_file_is_one_line(content: Any, reason: str, tmp_path: Path) -> None:
    assert reason in refusal(index_file(tmp_path, content))


def test_no_changed_byte_of_an_index_is_more_than_one_line(tmp_path: Path) -> None:
    path, random = index_file(tmp_path, {0: index_of(VECTORS)}), np.random.default_rng(1)
    good = path.read_bytes()
    outcomes = set()

    for place in random.integers(0, len(good), 150):
        path.write_bytes(good[:place] + bytes([good[place] ^ int(random.integers(1, 256))]) + good[place + 1 :])
        try:
            outcomes.add(read_clusters(path)[0].shape[1])
        except (FormatError, KeyError) as error:
            assert "\n" not in str(error)
            outcomes.add("refused")

    assert outcomes == {DIM, "refused"}


@pytest.mark.parametrize("length", [0, 2, 40, -9])
def test_a_file_that_ends_too_early_is_one_line(length: int, tmp_path: Path) -> None:
    path = index_file(tmp_path, {0: index_of(VECTORS)})
    path.write_bytes(path.read_bytes()[:length])

    assert "is damaged or no retrieval file" in refusal(path)


def test_the_nearest_centre_is_retrieved_at_the_length_of_its_frame(tmp_path: Path) -> None:
    path = kmeans_file(tmp_path, anna=VECTORS[:10], bert=VECTORS[10:13])
    retrieval = cluster_retrieval(path, [0, 1], ["anna", "bert"], DIM)
    asked = 3.0 * torch.from_numpy(VECTORS[11])

    found = retrieval(asked.reshape(1, 1, DIM), torch.tensor([1]), torch.tensor(1.0))

    torch.testing.assert_close(found.flatten(), asked, atol=0.01, rtol=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dim", "name", "reason"),
    [(DIM, "anna", "has vectors of 16 values, the voice listens to 768"), (768, "carl", "nothing of the speaker anna")],
)
def test_a_file_of_another_voice_is_refused(dim: int, name: str, reason: str, tmp_path: Path) -> None:
    network = small_sovits()
    voice = sovits_files(tmp_path, network, sovits_config(network))
    cluster = kmeans_file(tmp_path, **{name: np.ones((4, dim), dtype=np.float32)}, bert=np.ones((4, dim)))
    given = ("content=toy", "content.dim=768", "rvc.embedder=random", f"rvc.cluster={cluster}")

    with pytest.MonkeyPatch.context() as patch, pytest.raises(WorkbenchError, match=reason):
        published = imported.voice_config
        patch.setattr(
            imported,
            "voice_config",
            lambda file: {**(found := published(file)), "model": found["model"] | {"posterior_layers": 2}},
        )
        imported.load_imported_voice(settings_of(voice, *given))
