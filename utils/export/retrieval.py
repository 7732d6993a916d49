"""The retrieval of an export: the index file, the codebook in the graph, and what the smaller one loses."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from models.conversion import Retrieval
from utils.corpus.store import CorpusStore
from utils.features.index import NEIGHBOURS, FeatureIndex, IndexOptions, IndexReport, blend, build_index, save_index
from utils.features.index_kinds import faiss_library
from utils.features.retrieval import CodebookRetrieval
from utils.files import sha256_of_file

MAX_QUERY_FRAMES = 20_000
MAX_COMPARED_FRAMES = 2000


@dataclass(frozen=True, kw_only=True)
class BakingReport:
    """How near the codebook inside the graph comes to an index of all training frames, on held-out frames.

    Attributes:
        codebook_size: entries for each speaker.
        num_frames: held-out frames compared.
        num_vectors: training frames that the full index retrieves from.
        cosine: mean cosine of what the two retrieve.
        cosine_to_content: mean cosine of what the full index retrieves and the frame itself, for scale.
    """

    codebook_size: int
    num_frames: int
    num_vectors: int
    cosine: float
    cosine_to_content: float

    def __str__(self) -> str:
        return (
            f"in the graph: {self.codebook_size} entries a speaker; what they retrieve has a mean cosine of "
            f"{self.cosine:.3f} to what all {self.num_vectors} frames retrieve ({self.num_frames} held-out frames; all "
            f"to the frames themselves {self.cosine_to_content:.3f})"
        )


@dataclass(frozen=True)
class WrittenIndex:
    """The index beside the graphs.

    Attributes:
        report: what it holds.
        baking: what the codebook in the graphs loses against it; None without either or without held-out frames.
    """

    path: Path
    sha256: str
    report: IndexReport
    baking: BakingReport | None


def write_index(store: CorpusStore, options: IndexOptions, retrieval: Retrieval | None, path: Path) -> WrittenIndex:
    """Index the training frames of a voice, write the file, and compare the codebook inside the graphs with it."""
    index = index_of(store, options)
    save_index(index, path)
    baking = None
    if isinstance(retrieval, CodebookRetrieval):
        baking = baking_report(index, retrieval, list(held_out(store)), partial(training_frames, store))
    return WrittenIndex(path, sha256_of_file(path), index.report, baking)


def index_of(store: CorpusStore, options: IndexOptions) -> FeatureIndex:
    """Index the training split's content per speaker; recall is measured on the held-out split."""
    queries = [frames for _, frames in held_out(store)]
    return build_index(training_frames(store), np.concatenate(queries) if queries else None, options)


def training_frames(store: CorpusStore) -> list[np.ndarray]:
    """Return the content [N, D] of each speaker's training clips; N may be 0."""
    by_speaker: dict[str, list[np.ndarray]] = {speaker: [] for speaker in store.speakers}
    for clip in store.split("train"):
        by_speaker[clip.speaker].append(store.feature("content", clip))
    dim = store.content_dim
    return [np.concatenate(parts) if parts else np.zeros((0, dim), np.float16) for parts in by_speaker.values()]


def held_out(store: CorpusStore) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (speaker_id, content [F, D]) of held-out clips, up to MAX_QUERY_FRAMES in all."""
    count = 0
    for clip in store.split("val"):
        if count < MAX_QUERY_FRAMES:
            frames = store.feature("content", clip)
            count += len(frames)
            yield store.speakers.index(clip.speaker), frames


def baking_report(
    index: FeatureIndex,
    retrieval: CodebookRetrieval,
    queries: list[tuple[int, np.ndarray]],
    all_frames: Callable[[], list[np.ndarray]] | None = None,
) -> BakingReport | None:
    """Compare what a codebook retrieves with what an index of all training frames does; None without held-out frames.

    Args:
        index: of the export.
        retrieval: the codebook.
        queries: held-out (speaker_id, content [F, D]).
        all_frames: gives each speaker's training frames [N, D], for an index that holds only centres of them; without
            it such an index itself is compared with.
    """
    if not queries:
        return None
    speakers = np.concatenate([np.full(len(frames), speaker) for speaker, frames in queries])
    content = np.concatenate([frames for _, frames in queries]).astype(np.float32)
    chosen = np.linspace(0, len(content) - 1, min(len(content), MAX_COMPARED_FRAMES)).astype(np.int64)
    speakers, content = speakers[chosen], content[chosen]
    baked = np.empty_like(content)
    for speaker in np.unique(speakers):
        mine = speakers == speaker
        frames = torch.from_numpy(content[mine])[None]
        with torch.no_grad():
            baked[mine] = retrieval(frames, torch.tensor([int(speaker)]))[0].numpy()
    num_vectors = index.report.num_vectors
    if all_frames is not None and num_vectors < index.report.num_frames:
        num_vectors, full = index.report.num_frames, retrieve_exactly(all_frames(), content)
    else:
        full = index.retrieve(content)
    return BakingReport(
        codebook_size=int(retrieval.codebook.shape[1]),
        num_frames=len(content),
        num_vectors=num_vectors,
        cosine=mean_cosine(baked, full),
        cosine_to_content=mean_cosine(full, content),
    )


def retrieve_exactly(frames_by_speaker: list[np.ndarray], content: np.ndarray) -> np.ndarray:
    """Return the blend [Q, D] of the 8 nearest of all frames [N, D] of all speakers, found without an index."""
    distances, vectors = [], []
    for frames in frames_by_speaker:
        if len(frames):
            found = faiss_library().knn(content, np.ascontiguousarray(frames, np.float32), min(NEIGHBOURS, len(frames)))
            distances.append(found[0])
            vectors.append(frames[found[1]])
    near, nearest = np.concatenate(distances, axis=1), np.concatenate(vectors, axis=1)
    order = np.argsort(near, axis=1)[:, :NEIGHBOURS, None]
    return blend(np.take_along_axis(nearest, order, axis=1), np.take_along_axis(near, order[..., 0], axis=1))


def mean_cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Return the mean cosine of the rows of two arrays [N, D]."""
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(np.mean((one * other).sum(axis=1) / np.maximum(norms, 1e-12)))
