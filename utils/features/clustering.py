"""Spherical k-means: centroids of directions."""

from collections.abc import Callable

import torch
from torch import Tensor


def spherical_kmeans(
    vectors: Tensor,
    count: int,
    *,
    generator: torch.Generator,
    num_rounds: int,
    normalize: Callable[[Tensor], Tensor],
    rows_at_once: int | None = None,
) -> Tensor:
    """Cluster vectors of one length by cosine (Dhillon and Modha 2001).

    Clusters that become empty are refilled from random vectors.

    Args:
        vectors: [N, D], all of the length that `normalize` gives.
        count: clusters, at most N.
        generator: of all random choices.
        num_rounds: assignments of all vectors to their nearest centroid.
        normalize: brings centroids [count, D] to that length.
        rows_at_once: vectors that are compared with the centroids together, to bound the memory; None: all.
    Returns:
        Centroids [count, D].
    """
    centroids = vectors[torch.randperm(len(vectors), generator=generator)[:count]].clone()
    for _ in range(num_rounds):
        parts = vectors.split(rows_at_once or len(vectors))
        owner = torch.cat([(part @ centroids.T).argmax(dim=1) for part in parts])
        sums = torch.zeros_like(centroids).index_add_(0, owner, vectors)
        empty = (torch.bincount(owner, minlength=count) == 0).nonzero().squeeze(1)
        sums[empty] = vectors[torch.randint(len(vectors), (len(empty),), generator=generator)]
        centroids = normalize(sums)
    return centroids
