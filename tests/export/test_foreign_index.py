"""The index that comes with a voice of RVC becomes the codebook in its graph."""

from pathlib import Path

import faiss
import numpy as np
import pytest
import torch

from utils.config.export import export_job
from utils.errors import ConfigError, FormatError, WorkbenchError
from utils.export.analysed_files import analyse_index
from utils.export.codebook import retrieval_of_index
from utils.export.plans import plan_export
from utils.features.index import IndexOptions, build_index, save_index
from utils.rvc.faiss_vectors import read_index_file

DIM = 16


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("index") / "bob.index"
    frames = np.random.default_rng(0).standard_normal((300, DIM)).astype(np.float32)
    save_index(build_index([frames], None, IndexOptions()), path)
    return path


def test_frames_of_the_index_are_retrieved(path: Path) -> None:
    frames = np.random.default_rng(0).standard_normal((300, DIM)).astype(np.float32)

    retrieval = retrieval_of_index(path, num_speakers=1, dim=DIM, seed=0)

    asked = torch.from_numpy(frames[None, :20])
    found = retrieval(asked, torch.tensor([0]))
    assert retrieval.codebook.shape == (1, 300, DIM)
    torch.testing.assert_close(found, asked, rtol=0, atol=0.05)


def test_index_of_another_voice_is_refused(path: Path, tmp_path: Path) -> None:
    (tmp_path / "text.index").write_text("no index")

    with pytest.raises(ConfigError, match="holds 300 vectors of 16 values, the voice reads 768"):
        retrieval_of_index(path, num_speakers=1, dim=768, seed=0)
    with pytest.raises(ConfigError, match=r"belongs to one speaker, the voice has 3; type rvc\.speakers=\[0\]"):
        retrieval_of_index(path, num_speakers=3, dim=DIM, seed=0)
    with pytest.raises(FormatError, match="is no FAISS index"):
        retrieval_of_index(tmp_path / "text.index", num_speakers=1, dim=DIM, seed=0)


def test_index_belongs_to_a_voice_alone() -> None:
    plan = plan_export(export_job(["voice=bob.pth", "index=bob.index", "content=toy", "content.dim=768"]))

    assert plan.imported is not None and plan.imported.index == Path("bob.index")
    with pytest.raises(ConfigError, match="index"):
        export_job(["run=runs/x", "index=bob.index"])


@pytest.fixture
def no_faiss(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("FAISS reads the file of a stranger")

    monkeypatch.setattr(faiss, "read_index", refuse)
    monkeypatch.setattr(faiss, "deserialize_index", refuse)


@pytest.mark.parametrize(("kind", "name"), [("IVF4,Flat", "IndexIVFFlat"), ("Flat", "IndexFlatL2")])
def test_vectors_are_those_that_faiss_reads_in_its_order(kind: str, name: str, tmp_path: Path) -> None:
    frames = np.random.default_rng(1).standard_normal((200, DIM)).astype(np.float32)
    index = faiss.index_factory(DIM, kind)
    index.train(frames)
    index.add(frames)
    faiss.write_index(index, str(tmp_path / "a.index"))

    found = read_index_file(tmp_path / "a.index")

    assert (found.kind, found.dim, found.num_vectors) == (name, DIM, 200)
    assert found.vectors is not None
    np.testing.assert_array_equal(found.vectors, frames)


@pytest.mark.usefixtures("no_faiss")
def test_no_changed_byte_of_a_foreign_index_reaches_faiss(path: Path, tmp_path: Path) -> None:
    good, rng = path.read_bytes(), np.random.default_rng(2)
    changed = tmp_path / "bob.index"
    for place in [*range(120), *rng.integers(0, len(good), 60).tolist()]:
        data = bytearray(good)
        data[place] ^= int(rng.integers(1, 256))
        changed.write_bytes(data if place % 5 else data[:place])
        for read in (
            lambda: retrieval_of_index(changed, num_speakers=1, dim=DIM, seed=0),
            lambda: analyse_index(changed),
        ):
            try:
                read()
            except WorkbenchError as error:
                assert len(str(error).splitlines()) == 1


@pytest.mark.usefixtures("no_faiss")
def test_index_that_keeps_codes_alone_is_named(tmp_path: Path) -> None:
    frames = np.random.default_rng(1).standard_normal((400, DIM)).astype(np.float32)
    index = faiss.index_factory(DIM, "IVF2,PQ4x4")
    index.train(frames)
    index.add(frames)
    (tmp_path / "a.index").write_bytes(faiss.serialize_index(index).tobytes())

    with pytest.raises(
        FormatError, match="is an IndexIVFPQ, of which no vectors are read; give the file of an IndexIVF"
    ):
        retrieval_of_index(tmp_path / "a.index", num_speakers=1, dim=DIM, seed=0)
    assert analyse_index(tmp_path / "a.index").facts["vectors"] == 400
