"""The index that comes with a voice of RVC becomes the codebook in its graph."""

from pathlib import Path

import numpy as np
import pytest
import torch

from utils.config.export import export_job
from utils.errors import ConfigError, FormatError
from utils.export.codebook import retrieval_of_index
from utils.export.plans import plan_export
from utils.features.index import IndexOptions, build_index, save_index

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
