"""Spherical k-means finds directions, refills empty clusters and depends only on its generator."""

from functools import partial

import torch
import torch.nn.functional as functional

from utils.features.clustering import spherical_kmeans

normalize = partial(functional.normalize, dim=1)


def two_directions() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    directions = torch.eye(3)[:2].repeat_interleave(50, dim=0)
    return normalize(directions + 0.01 * torch.randn(100, 3, generator=generator))


def clustered(points: torch.Tensor, count: int, rows_at_once: int | None = None) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return spherical_kmeans(
        points, count, generator=generator, num_rounds=25, normalize=normalize, rows_at_once=rows_at_once
    )


def test_clusters_of_two_directions_are_found() -> None:
    points = two_directions()

    centroids = clustered(points, 2)

    nearest = (points @ centroids.T).max(dim=1).values
    assert nearest.min() > 0.99


def test_vectors_may_be_compared_in_parts() -> None:
    points = two_directions()

    torch.testing.assert_close(clustered(points, 5, rows_at_once=7), clustered(points, 5))


def test_empty_clusters_are_refilled() -> None:
    points = torch.eye(3)[:1].repeat(20, 1)  # all the same: but one of three clusters stay empty

    assert torch.equal(clustered(points, 3), points[:3])
