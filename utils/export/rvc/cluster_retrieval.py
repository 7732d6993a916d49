"""Retrieval of a voice of So-VITS-SVC from the file that came with it: k-means centres, or an index."""

from collections.abc import Sequence
from pathlib import Path

import torch

from utils.errors import ConfigError
from utils.features.retrieval import NEIGHBOURS, CodebookRetrieval, equal_codebooks
from utils.rvc.clusters import read_clusters

# entries of each speaker: So-VITS-SVC makes 10000 centres, and an entry of 768 values has 3 kB in the file
MOST_ALONE, MOST_EACH = 10_000, 2_048
MOST_VECTORS = 60_000  # of an index that are clustered


def cluster_retrieval(path: Path, rows: Sequence[int], names: Sequence[str], dim: int) -> CodebookRetrieval:
    """Return the retrieval of a graph.

    A k-means file gives the nearest centre, an index a blend of the nearest vectors. As in every voice here, nearest is
    by angle and what is retrieved has the length of the frame that it takes the place of.

    Args:
        path: kmeans_<count>.pt or feature_and_index.pkl.
        rows: of the file's speaker table that the voice keeps.
        names: of these speakers.
        dim: size of a content vector.
    Raises:
        FormatError: if the file is damaged or wants to run code.
        ConfigError: if it is none for these speakers or this encoder.
    """
    clusters = read_clusters(path)
    is_index = any(isinstance(key, int) for key in clusters)
    keys = list(rows) if is_index else list(names)
    missing = [str(key) for key in keys if key not in clusters]
    if missing:
        found = ", ".join(map(str, list(clusters)[:8]))
        raise ConfigError(
            f"rvc.cluster={path} has nothing of the speaker {missing[0]} (it has {found}); keep others with "
            "rvc.speakers=[<rows>], or leave it out"
        )
    vectors = [torch.from_numpy(clusters[key]) for key in keys]
    if vectors[0].shape[1] != dim or any(each.shape[1] != dim for each in vectors):
        raise ConfigError(
            f"rvc.cluster={path} has vectors of {vectors[0].shape[1]} values, the voice listens to {dim}; give the "
            "file that belongs to it"
        )
    thinned = [each[torch.linspace(0, len(each) - 1, min(len(each), MOST_VECTORS)).long()] for each in vectors]
    codebook = equal_codebooks(thinned, MOST_ALONE if len(thinned) == 1 and not is_index else MOST_EACH)
    return CodebookRetrieval(codebook, neighbours=NEIGHBOURS if is_index else 1)
