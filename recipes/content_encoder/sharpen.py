"""Turn down what a trained encoder says of speed, room, noise and level: a linear map, folded into its last layer."""

import logging

import torch
from torch import Tensor

from recipes.content_encoder.examples import ContentExamples, interpolate
from utils.features.content.base import normalize_content
from utils.features.content.network import ContentNetwork

NUM_PAIRS = 600  # parts of clips, 3 s each
POWER = 4.0
MIN_GAIN = 0.1  # of a direction that hardly has content, so that the map can be undone
RIDGE = 1e-3  # of the mean disturbance, so that the map exists for few pairs too
log = logging.getLogger(__name__)


@torch.no_grad()
def sharpen(
    network: ContentNetwork, examples: ContentExamples, *, num_pairs: int = NUM_PAIRS, power: float = POWER
) -> None:
    """Fold the map of content_map into the head of a network, in place.

    Args:
        network: trained encoder.
        examples: clips of its training.
        num_pairs: parts of clips that are compared with changed copies.
        power: see content_map.
    """
    total, disturbance = covariances(network, examples, num_pairs)
    matrix = content_map(total, disturbance, power=power).to(network.head.weight.dtype)
    network.head.weight.copy_(matrix @ network.head.weight)
    network.head.bias.copy_(matrix @ network.head.bias)
    log.info("sharpened: the map keeps %.2f of the features' variance", kept_variance(matrix, total))


@torch.no_grad()
def covariances(network: ContentNetwork, examples: ContentExamples, num_pairs: int) -> tuple[Tensor, Tensor]:
    """Return the covariance of features and that of what changes of the sound do to them, both [D, D] float64."""
    plain, differences = [], []
    for index in range(num_pairs):
        pair = examples.pair(index)
        feature = normalize_content(network(pair.plain)[0])
        changed = normalize_content(network(pair.changed)[0])
        plain.append(feature)
        differences.append(interpolate(feature, pair.position) - changed[: len(pair.position)])
    rows, changes = torch.cat(plain).double(), torch.cat(differences).double()
    # both of a pair are disturbed, so a difference has twice the variance of one disturbance
    return torch.cov(rows.T), changes.T @ changes / (2 * len(changes))


def content_map(total: Tensor, disturbance: Tensor, *, power: float) -> Tensor:
    """Return the matrix [D, D] that estimates what features would be without disturbance.

    With power 1 that is the Wiener filter of vectors, (total - disturbance) total^-1; other powers apply it as often.
    It turns directions down and turns none into another, so what was learned from the features can be carried over.

    Args:
        total: covariance of features [D, D].
        disturbance: covariance of the disturbance [D, D].
        power: how often the filter is applied.
    """
    dim = len(total)
    ridge = RIDGE * disturbance.trace() / dim * torch.eye(dim, dtype=disturbance.dtype)
    root = torch.linalg.cholesky(disturbance + ridge)
    inverse = torch.linalg.inv(root)
    ratio, axes = torch.linalg.eigh(inverse @ total @ inverse.T)  # variance over disturbance in each direction
    gain = (((ratio - 1).clamp(min=0) / ratio) ** power).clamp(min=MIN_GAIN)
    return root @ (axes * gain) @ axes.T @ inverse


def kept_variance(matrix: Tensor, covariance: Tensor) -> float:
    """Return which part of the variance a map keeps."""
    matrix = matrix.to(covariance.dtype)
    return float((matrix @ covariance @ matrix.T).trace() / covariance.trace())
