"""Fewer vectors that stand for many: k-means in two levels, so that hundreds of thousands of centres take minutes."""

import math

import numpy as np

from utils.features.index_kinds import faiss_library

GROUP_ITERATIONS = 8
CENTRE_ITERATIONS = 6
GROUP_SAMPLES = 64  # vectors for each group's centre that the first level looks at


def reduce_frames(frames: np.ndarray, limit: int, seed: int) -> np.ndarray:
    """Return at most `limit` vectors [K, D] float32 that lie near those given [N, D].

    The vectors are divided into groups by a coarse k-means, and each group is clustered into its share of the centres.
    Up to `limit` vectors are returned as they are.
    """
    vectors = np.ascontiguousarray(frames, dtype=np.float32)
    if len(vectors) <= limit:
        return vectors
    num_groups = max(1, min(round(math.sqrt(limit)), limit))
    _, labels = _cluster(vectors, num_groups, GROUP_ITERATIONS, seed, samples=GROUP_SAMPLES)
    counts = np.bincount(labels, minlength=num_groups)
    shares = _shares(counts, limit)
    parts = []
    for group in range(num_groups):
        members, share = vectors[labels == group], int(shares[group])
        if not share:
            continue
        parts.append(members if len(members) <= share else _cluster(members, share, CENTRE_ITERATIONS, seed)[0])
    return np.concatenate(parts)


def _shares(counts: np.ndarray, limit: int) -> np.ndarray:
    """Divide `limit` centres among groups of so many vectors; the sum is `limit` and no group gets more than it has."""
    exact = counts * (limit / counts.sum())
    shares = np.floor(exact).astype(np.int64)
    rest = np.argsort(shares - exact, kind="stable")[: limit - int(shares.sum())]
    shares[rest] += 1
    return np.minimum(shares, counts)


def _cluster(
    vectors: np.ndarray, count: int, iterations: int, seed: int, samples: int = 1_000_000
) -> tuple[np.ndarray, np.ndarray]:
    """Return centres [count, D] and the centre of each vector."""
    means = faiss_library().Kmeans(
        vectors.shape[1], count, niter=iterations, seed=seed + 1, min_points_per_centroid=1,
        max_points_per_centroid=samples,
    )  # fmt: skip
    means.train(vectors)
    return means.centroids, means.index.search(vectors, 1)[1][:, 0]
