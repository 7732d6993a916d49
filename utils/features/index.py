"""FAISS index over content features, for runtimes that retrieve outside the graph."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from utils.errors import ConfigError, DataError, FormatError
from utils.features.index_kinds import KINDS, IndexKind, faiss_library, find_kind
from utils.features.reduction import reduce_frames
from utils.files import atomic_write, sha256_of_file

NEIGHBOURS = 8
MAX_QUERIES = 2000
SMALLEST_DISTANCE = 1e-6  # squared; a query that is in the index is this far from itself
# What is stored lies this far from its frame: programs that divide by the distance never divide by zero.
EXACT_MATCH_OFFSET = 1e-3
FILE_KINDS = (b"IxF2", b"IwFl", b"IwPQ", b"IHNf")  # the first bytes of the files of our kinds
MAX_TABLE_BYTES = 2**30  # of what a reader makes besides of what stands in the file
ERROR_MARGIN = 4.0  # of the squared offset above the error of a squared distance
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class IndexOptions:
    """How an index is made.

    Attributes:
        kind: name of an IndexKind.
        max_vectors: more frames than this are reduced to so many by k-means; every speaker gets the same share.
        target_recall: share of the true 8 nearest neighbours that a search must find.
        code_bytes: bytes of a vector in an index of the kind ivf_pq; None means one for four values.
        seed: seed of every clustering.
    """

    kind: str = "ivf"
    max_vectors: int = 300_000
    target_recall: float = 0.99
    code_bytes: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        find_kind(self.kind)
        if self.max_vectors < 1:
            raise ConfigError(f"retrieval.max_vectors={self.max_vectors} is out of range; allowed: at least 1")
        if not 0.5 <= self.target_recall <= 1.0:
            raise ConfigError(f"retrieval.target_recall={self.target_recall:g} is out of range; allowed: 0.5 to 1")
        if self.code_bytes is not None and self.code_bytes < 1:
            raise ConfigError(f"retrieval.code_bytes={self.code_bytes} is out of range; allowed: at least 1")


@dataclass(frozen=True, kw_only=True)
class SpeakerRange:
    """Vectors [first, first + count) of an index belong to the speaker with this id."""

    speaker_id: int
    first: int
    count: int


@dataclass(frozen=True, kw_only=True)
class IndexReport:
    """What an index holds, what it costs and how exactly it searches.

    Attributes:
        num_lists: lists of an IVF; 0 in the other kinds.
        effort_name: FAISS's name of the setting that trades time for accuracy; empty where there is none.
        effort: that setting, as stored in the file.
        recall: share of the true 8 nearest vectors found with it.
        target_recall: what was asked for.
        size_bytes: of the file.
        build_seconds: clustering and adding.
        query_microseconds: of one frame, one thread, asked in one batch.
    """

    kind: str
    num_vectors: int
    num_frames: int
    dim: int
    num_lists: int
    effort_name: str
    effort: int
    recall: float
    target_recall: float
    size_bytes: int
    build_seconds: float
    query_microseconds: float
    speakers: tuple[SpeakerRange, ...]

    @property
    def is_target_reached(self) -> bool:
        """Whether the recall is what was asked for."""
        return self.recall >= self.target_recall

    def __str__(self) -> str:
        centres = "centres " * (self.num_vectors != self.num_frames)
        count = f"{self.num_vectors} {centres}of {self.num_frames} frames"
        effort = f" at {self.effort_name} {self.effort}" * bool(self.effort_name)
        lists = f" of {self.num_lists}" * (self.effort_name == "nprobe")
        missed = f", BELOW the {self.target_recall:g} asked for" * (not self.is_target_reached)
        return (
            f"{self.kind}, {count}, recall@8 {self.recall:.3f}{effort}{lists}{missed}; {self.size_bytes / 1e6:.1f} MB, "
            f"built in {self.build_seconds:.1f} s, {self.query_microseconds:.0f} us a frame"
        )


@dataclass(frozen=True)
class FeatureIndex:
    """A FAISS index under Euclidean distance with its report."""

    index: Any
    report: IndexReport

    def search(self, content: np.ndarray, neighbours: int = NEIGHBOURS) -> tuple[np.ndarray, np.ndarray]:
        """Return squared distances and vector ids, both [Q, neighbours], for content [Q, D]; id -1 means none."""
        distances, ids = self.index.search(np.ascontiguousarray(content, dtype=np.float32), neighbours)
        return distances, ids

    def retrieve(self, content: np.ndarray) -> np.ndarray:
        """Return the blend [Q, D] of the 8 nearest vectors of content [Q, D] as RVC's tools make it; always finite."""
        distances, ids = self.search(content, min(NEIGHBOURS, self.report.num_vectors))
        vectors = self.index.reconstruct_n(0, self.report.num_vectors)
        return blend(vectors[ids], np.where(ids >= 0, distances, np.inf))


def blend(vectors: np.ndarray, squared_distances: np.ndarray) -> np.ndarray:
    """Return the mean [Q, D] of vectors [Q, K, D], weighted by the inverse square of their squared distances [Q, K]."""
    nearest = np.maximum(squared_distances.min(axis=1, keepdims=True), SMALLEST_DISTANCE)
    weights = np.square(nearest / np.maximum(squared_distances, SMALLEST_DISTANCE))
    weights /= weights.sum(axis=1, keepdims=True)
    mean: np.ndarray = np.einsum("qk,qkd->qd", weights, vectors)
    return mean


def build_index(
    frames_by_speaker: Sequence[np.ndarray], queries: np.ndarray | None, options: IndexOptions
) -> FeatureIndex:
    """Index content frames and choose how much of the index a search must visit.

    Args:
        frames_by_speaker: for each speaker_id, [N, D] content; N may be 0.
        queries: [Q, D] content that is not in the index, to measure recall; None takes frames of the index.
        options: kind, size and accuracy.
    Raises:
        DataError: if there is no frame at all or a value is not finite.
    """
    started = time.perf_counter()
    share = max(1, options.max_vectors // max(1, len(frames_by_speaker)))
    if not sum(len(frames) for frames in frames_by_speaker):
        raise DataError("the dataset has no training frame to index; prepare it again with longer recordings")
    if not all(np.isfinite(frames).all() for frames in frames_by_speaker):
        raise DataError("content features contain NaN or infinity; delete the dataset's cache and prepare it again")
    kept = [reduce_frames(np.asarray(frames), share, options.seed) for frames in frames_by_speaker]
    vectors = np.ascontiguousarray(np.concatenate(kept), dtype=np.float32)
    kind = find_kind(options.kind)
    vectors[:, 0] += exact_match_offset(vectors, kind)
    index = kind.make(vectors, code_bytes=options.code_bytes, seed=options.seed)
    seconds = time.perf_counter() - started
    asked = _thin(vectors if queries is None or not len(queries) else np.asarray(queries), MAX_QUERIES)
    asked = np.ascontiguousarray(asked, dtype=np.float32)
    effort, recall = _choose_effort(kind, index, vectors, asked, options.target_recall)
    firsts = np.cumsum([0, *(len(frames) for frames in kept)])
    report = IndexReport(
        kind=options.kind,
        num_vectors=len(vectors),
        num_frames=sum(len(frames) for frames in frames_by_speaker),
        dim=vectors.shape[1],
        num_lists=int(getattr(index, "nlist", 0)),
        effort_name=kind.effort_name,
        effort=effort,
        recall=recall,
        target_recall=options.target_recall,
        size_bytes=len(faiss_library().serialize_index(index)),
        build_seconds=seconds,
        query_microseconds=_query_microseconds(index, asked),
        speakers=tuple(
            SpeakerRange(speaker_id=speaker_id, first=int(firsts[speaker_id]), count=len(frames))
            for speaker_id, frames in enumerate(kept)
        ),
    )
    log.info("%s", report)
    return FeatureIndex(index, report)


def exact_match_offset(vectors: np.ndarray, kind: IndexKind) -> np.ndarray:
    """Return how far [N] from its frame each of vectors [N, D] is stored, so that its squared distance is not lost."""
    lengths = np.linalg.norm(vectors, axis=1)
    return np.maximum(EXACT_MATCH_OFFSET, np.sqrt(ERROR_MARGIN * kind.distance_error) * lengths)


def save_index(index: FeatureIndex, path: Path) -> None:
    """Write the FAISS file; it appears under its name only when it is complete."""
    data = faiss_library().serialize_index(index.index)
    atomic_write(path, lambda stream: stream.write(data.data))


def load_index(path: Path, sha256: str | None = None) -> Any:
    """Read a FAISS index of one of our kinds; see docs/explanation/safety.md for what its reader promises.

    Args:
        path: of the file.
        sha256: of the index that is wanted: card.json and the metadata of a voice state it; None: any.
    Raises:
        FormatError: if the file is missing, of another kind, not the one that is wanted, or faiss cannot read it.
    """
    if not path.is_file():
        raise FormatError(f"{path} does not exist; export_onnx.py writes the index beside the voice")
    if sha256 is not None and sha256_of_file(path) != sha256:
        raise FormatError(
            f"{path} is not the index that its voice was exported with (another SHA-256); export it again"
        )
    faiss, size = faiss_library(), path.stat().st_size
    with path.open("rb") as stream:
        kind = stream.read(4)
    if kind not in FILE_KINDS:
        raise FormatError(
            f"{path} is no FAISS index of a kind that is read here; export_onnx.py writes {', '.join(KINDS)}"
        )
    before = faiss.get_deserialization_vector_byte_limit()
    faiss.set_deserialization_vector_byte_limit(max(size, MAX_TABLE_BYTES))
    try:
        index = faiss.read_index(str(path), faiss.IO_FLAG_READ_ONLY)
    except (RuntimeError, MemoryError) as error:
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), "it ends too early")
        raise FormatError(f"{path} is no FAISS index ({reason[:120]})") from error
    finally:
        faiss.set_deserialization_vector_byte_limit(before)
    lists = getattr(index, "invlists", None)
    if lists is not None and not isinstance(faiss.downcast_InvertedLists(lists), faiss.ArrayInvertedLists):
        raise FormatError(f"{path} is an index whose vectors lie in another file; it was not used")
    return index


def _choose_effort(
    kind: IndexKind, index: Any, vectors: np.ndarray, queries: np.ndarray, target: float
) -> tuple[int, float]:
    """Set the smallest effort whose recall@8 reaches the target, else that of the highest recall; return both."""
    count = min(NEIGHBOURS, len(vectors))
    exact = faiss_library().IndexFlatL2(vectors.shape[1])
    exact.add(vectors)
    limits = exact.search(queries, count)[0][:, -1:]
    best = (0, -1.0)
    for effort in kind.efforts(index):
        kind.set_effort(index, effort)
        ids = index.search(queries, count)[1]
        # By distance, not by id: equal vectors are equally good neighbours.
        distances = np.square(vectors[np.maximum(ids, 0)] - queries[:, None]).sum(-1)
        recall = float(np.mean((ids >= 0) & (distances <= limits * (1 + 1e-5) + 1e-5)))
        if recall > best[1]:
            best = (effort, recall)
        if recall >= target:
            break
    kind.set_effort(index, best[0])
    return best


def _query_microseconds(index: Any, queries: np.ndarray) -> float:
    faiss = faiss_library()
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        started = time.perf_counter()
        index.search(queries, NEIGHBOURS)
        return 1e6 * (time.perf_counter() - started) / len(queries)
    finally:
        faiss.omp_set_num_threads(threads)


def _thin(frames: np.ndarray, limit: int) -> np.ndarray:
    """Return at most `limit` rows, evenly spread."""
    if len(frames) <= limit:
        return frames
    return frames[np.linspace(0, len(frames) - 1, limit).astype(np.int64)]
