"""The kinds of FAISS indexes, and the setting with which each trades time for accuracy."""

import logging
import math
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from utils.errors import ConfigError

FRAMES_PER_LIST = 39  # below this faiss's k-means is badly trained and says so
CLUSTER_ITERATIONS = 10
FRAMES_PER_CENTRE = 64
PQ_BITS = 8
HNSW_LINKS = 32
HNSW_BUILD_EFFORT = 80
HNSW_MOST_EFFORT = 4096


class IndexKind:
    """A kind of index over vectors [N, D] under Euclidean distance.

    Attributes:
        name: option of retrieval=.
        effort_name: what FAISS calls the setting that trades time for accuracy; empty where there is none.
        distance_error: largest error of a squared distance, as a share of the squared length of the vectors.
    """

    name: ClassVar[str]
    effort_name: ClassVar[str] = ""
    distance_error: ClassVar[float] = 0.0

    @abstractmethod
    def make(self, vectors: np.ndarray, *, code_bytes: int | None, seed: int) -> Any:
        """Return an index that holds the vectors in their order."""

    def efforts(self, index: Any) -> Iterator[int]:
        """Yield settings from cheap to exact; 0 where there is none."""
        yield 0

    def set_effort(self, index: Any, effort: int) -> None:
        """Store a setting in the index; it is written to the file."""


class FlatKind(IndexKind):
    """Every vector is compared: exact."""

    name = "flat"
    # FAISS takes many queries at once as |x|^2 + |y|^2 - 2xy in float32, which is off by up to 1e-6 |x|^2 (measured)
    distance_error = 2e-6

    def make(self, vectors: np.ndarray, *, code_bytes: int | None, seed: int) -> Any:
        """See IndexKind."""
        index = faiss_library().IndexFlatL2(vectors.shape[1])
        index.add(vectors)
        return index


class IvfKind(IndexKind):
    """Vectors in lists around the centres of a k-means; a search visits the nearest lists. What RVC's tools write."""

    name = "ivf"
    effort_name = "nprobe"

    def make(self, vectors: np.ndarray, *, code_bytes: int | None, seed: int) -> Any:
        """See IndexKind."""
        faiss, dim = faiss_library(), vectors.shape[1]
        index = faiss.IndexIVFFlat(faiss.IndexFlatL2(dim), dim, num_lists(len(vectors)), faiss.METRIC_L2)
        return _filled(index, vectors, seed)

    def efforts(self, index: Any) -> Iterator[int]:
        """Yield 1, 2, 4, .. lists, at last all."""
        probes = 1
        while probes < index.nlist:
            yield probes
            probes *= 2
        yield int(index.nlist)

    def set_effort(self, index: Any, effort: int) -> None:
        """See IndexKind."""
        index.nprobe = effort


class IvfPqKind(IvfKind):
    """As IVF, each vector in a few bytes (product quantisation, Jegou et al. 2011): small and inexact."""

    name = "ivf_pq"

    def make(self, vectors: np.ndarray, *, code_bytes: int | None, seed: int) -> Any:
        """See IndexKind."""
        faiss, dim = faiss_library(), vectors.shape[1]
        if code_bytes is None:
            code_bytes = next(count for count in range(max(1, dim // 4), 0, -1) if dim % count == 0)
        if dim % code_bytes:
            raise ConfigError(f"retrieval.code_bytes={code_bytes} does not divide the {dim} values of the content")
        lists, bits = num_lists(len(vectors)), min(PQ_BITS, max(1, int(math.log2(len(vectors)))))
        index = faiss.IndexIVFPQ(faiss.IndexFlatL2(dim), dim, lists, code_bytes, bits)
        codes = index.pq.cp
        codes.seed, codes.niter, codes.min_points_per_centroid = seed + 1, CLUSTER_ITERATIONS, 1
        codes.max_points_per_centroid = FRAMES_PER_CENTRE
        return _filled(index, vectors, seed)


class HnswKind(IndexKind):
    """A graph of near vectors (Malkov and Yashunin 2018): fast and larger."""

    name = "hnsw"
    effort_name = "efSearch"

    def make(self, vectors: np.ndarray, *, code_bytes: int | None, seed: int) -> Any:
        """See IndexKind."""
        faiss = faiss_library()
        index = faiss.IndexHNSWFlat(vectors.shape[1], HNSW_LINKS)
        index.hnsw.efConstruction = HNSW_BUILD_EFFORT
        index.hnsw.rng = faiss.RandomGenerator(seed + 1)
        threads = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)  # several would link in the order in which they happen to come
        try:
            index.add(vectors)
        finally:
            faiss.omp_set_num_threads(threads)
        return index

    def efforts(self, index: Any) -> Iterator[int]:
        """Yield 8, 16, 32, .. candidates."""
        effort = 8
        while effort <= HNSW_MOST_EFFORT:
            yield effort
            effort *= 2

    def set_effort(self, index: Any, effort: int) -> None:
        """See IndexKind."""
        index.hnsw.efSearch = effort


KINDS: dict[str, IndexKind] = {kind.name: kind for kind in (FlatKind(), IvfKind(), IvfPqKind(), HnswKind())}


def find_kind(name: str) -> IndexKind:
    """Return a kind by name.

    Raises:
        ConfigError: if there is none.
    """
    if name not in KINDS:
        raise ConfigError(f"retrieval.kind={name} is unknown; allowed: {', '.join(KINDS)}")
    return KINDS[name]


def num_lists(num_vectors: int) -> int:
    """Return how many lists an index of so many vectors has."""
    return max(1, min(round(2 * math.sqrt(num_vectors)), num_vectors // FRAMES_PER_LIST))


def faiss_library() -> Any:
    """Import faiss without the log of what processor extensions it looks for."""
    logging.getLogger("faiss.loader").setLevel(logging.WARNING)
    import faiss

    return faiss


def _filled(index: Any, vectors: np.ndarray, seed: int) -> Any:
    index.cp.seed = seed + 1
    # enough for a coarse partition: what is asked for is the recall, and the number of visited lists follows from it
    index.cp.niter, index.cp.max_points_per_centroid = CLUSTER_ITERATIONS, FRAMES_PER_CENTRE
    index.cp.min_points_per_centroid = 1  # very short recordings are indexed without a warning
    index.train(vectors)
    index.add(vectors)
    return index
