"""FAISS index over content features, for runtimes that retrieve outside the graph."""

import logging
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from utils.errors import ConfigError, DataError, FormatError

NEIGHBOURS = 8
FRAMES_PER_LIST = 39  # below this faiss's k-means is badly trained and says so
CLUSTER_ITERATIONS = 10
FRAMES_PER_CENTRE = 64
MAX_QUERIES = 2000
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class IndexOptions:
    """How an index is made.

    Attributes:
        max_vectors: frames kept in all; every speaker gets the same share, evenly spread over its recordings.
        target_recall: share of the true 8 nearest neighbours that a search must find.
        seed: seed of the clustering.
    """

    max_vectors: int = 300_000
    target_recall: float = 0.99
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_vectors < 1:
            raise ConfigError(f"export.index.max_vectors={self.max_vectors} is out of range; allowed: at least 1")
        if not 0.5 <= self.target_recall <= 1.0:
            raise ConfigError(f"export.index.target_recall={self.target_recall:g} is out of range; allowed: 0.5 to 1")


@dataclass(frozen=True, kw_only=True)
class SpeakerRange:
    """Vectors [first, first + count) of an index belong to the speaker with this id."""

    speaker_id: int
    first: int
    count: int


@dataclass(frozen=True, kw_only=True)
class IndexReport:
    """What an index holds and how exactly it searches; `recall` is recall@8 at `num_probes`."""

    num_vectors: int
    num_frames: int
    dim: int
    num_lists: int
    num_probes: int
    recall: float
    speakers: tuple[SpeakerRange, ...]


@dataclass(frozen=True)
class FeatureIndex:
    """A FAISS IVF-Flat index (Euclidean) with its report."""

    index: Any
    report: IndexReport

    def search(self, content: np.ndarray, neighbours: int = NEIGHBOURS) -> tuple[np.ndarray, np.ndarray]:
        """Return squared distances and vector ids, both [Q, neighbours], for content [Q, D]; id -1 means none."""
        distances, ids = self.index.search(np.ascontiguousarray(content, dtype=np.float32), neighbours)
        return distances, ids


def build_index(
    frames_by_speaker: Sequence[np.ndarray], queries: np.ndarray | None, options: IndexOptions
) -> FeatureIndex:
    """Cluster content frames and choose how many clusters a search must visit.

    Args:
        frames_by_speaker: for each speaker_id, [N, D] content; N may be 0.
        queries: [Q, D] content that is not in the index, to measure recall; None takes frames of the index.
        options: size and accuracy.
    Raises:
        DataError: if there is no frame at all or a value is not finite.
    """
    share = max(1, options.max_vectors // max(1, len(frames_by_speaker)))
    kept = [_thin(np.asarray(frames), share) for frames in frames_by_speaker]
    num_frames = sum(len(frames) for frames in frames_by_speaker)
    vectors = np.ascontiguousarray(np.concatenate(kept), dtype=np.float32) if kept else np.zeros((0, 1), np.float32)
    if not len(vectors):
        raise DataError("the dataset has no training frame to index; prepare it again with longer recordings")
    if not np.isfinite(vectors).all():
        raise DataError("content features contain NaN or infinity; delete the dataset's cache and prepare it again")
    num_lists = max(1, min(round(2 * math.sqrt(len(vectors))), len(vectors) // FRAMES_PER_LIST))
    index = _cluster(vectors, num_lists, options.seed)
    asked = _thin(vectors if queries is None or not len(queries) else np.asarray(queries), MAX_QUERIES)
    recall = _choose_probes(index, vectors, np.ascontiguousarray(asked, dtype=np.float32), options.target_recall)
    firsts = np.cumsum([0, *(len(frames) for frames in kept)])
    speakers = tuple(
        SpeakerRange(speaker_id=speaker_id, first=int(firsts[speaker_id]), count=len(frames))
        for speaker_id, frames in enumerate(kept)
    )
    report = IndexReport(
        num_vectors=len(vectors),
        num_frames=num_frames,
        dim=vectors.shape[1],
        num_lists=num_lists,
        num_probes=int(index.nprobe),
        recall=recall,
        speakers=speakers,
    )
    log.info("indexed %d of %d frames in %d lists, %d visited", len(vectors), num_frames, num_lists, index.nprobe)
    return FeatureIndex(index, report)


def save_index(index: FeatureIndex, path: Path) -> None:
    """Write the FAISS file; it appears under its name only when it is complete."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        temporary = Path(folder) / path.name
        _faiss().write_index(index.index, str(temporary))
        temporary.replace(path)


def load_index(path: Path) -> Any:
    """Read a FAISS index.

    Raises:
        FormatError: if the file is missing or faiss cannot read it.
    """
    if not path.is_file():
        raise FormatError(f"{path} does not exist; export_onnx.py writes the index beside the voice")
    try:
        return _faiss().read_index(str(path))
    except RuntimeError as error:
        raise FormatError(f"{path} is no FAISS index ({str(error).splitlines()[0][:120]})") from error


def _faiss() -> Any:
    # it logs which processor extensions it looks for at every start
    logging.getLogger("faiss.loader").setLevel(logging.WARNING)
    import faiss

    return faiss


def _cluster(vectors: np.ndarray, num_lists: int, seed: int) -> Any:
    faiss, dim = _faiss(), vectors.shape[1]
    quantizer = faiss.IndexFlatL2(dim)
    index = faiss.IndexIVFFlat(quantizer, dim, num_lists, faiss.METRIC_L2)
    index.cp.seed = seed + 1
    # enough for a coarse partition: what is asked for is the recall, and the number of visited lists follows from it
    index.cp.niter, index.cp.max_points_per_centroid = CLUSTER_ITERATIONS, FRAMES_PER_CENTRE
    index.cp.min_points_per_centroid = 1  # very short recordings are indexed without a warning
    index.train(vectors)
    index.add(vectors)
    return index


def _choose_probes(index: Any, vectors: np.ndarray, queries: np.ndarray, target: float) -> float:
    """Set the smallest doubled nprobe whose recall@8 reaches the target, at most all lists; return the recall."""
    count = min(NEIGHBOURS, len(vectors))
    exact = _faiss().IndexFlatL2(vectors.shape[1])
    exact.add(vectors)
    limits = exact.search(queries, count)[0][:, -1:]
    recall, probes = 0.0, 1
    while True:
        index.nprobe = min(probes, index.nlist)
        distances, ids = index.search(queries, count)
        # By distance, not by id: equal vectors are equally good neighbours.
        recall = float(np.mean((ids >= 0) & (distances <= limits * (1 + 1e-5) + 1e-5)))
        if recall >= target or index.nprobe == index.nlist:
            return recall
        probes *= 2


def _thin(frames: np.ndarray, limit: int) -> np.ndarray:
    """Return at most `limit` rows, evenly spread."""
    if len(frames) <= limit:
        return frames
    return frames[np.linspace(0, len(frames) - 1, limit).astype(np.int64)]
