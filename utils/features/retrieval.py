"""Retrieval inside the model: replace content by a blend of the target speaker's own content."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from utils.features.clustering import spherical_kmeans
from utils.features.content.base import normalize_content

NEIGHBOURS = 8
ENTRIES_ALONE = 2048  # of a voice of one speaker
ENTRIES_EACH = 448  # of each of several speakers: with its embedding less than 250 kB of an exported file
SMALLEST_DISTANCE = 1e-5  # of 1 - cosine; nearer than this is the same


class CodebookRetrieval(nn.Module):
    """Blend of the nearest entries of a per-speaker codebook, weighted as RVC's tools weight those of an index.

    Entries and queries have one length, so their squared distance is 2 D (1 - cosine), and the inverse of its square
    is the weight; see utils.features.index.blend.

    Args:
        codebook: [S, K, D] vectors of length sqrt(D) (see build_codebook).
        neighbours: how many entries are blended.
    """

    def __init__(self, codebook: Tensor, *, neighbours: int = NEIGHBOURS) -> None:
        super().__init__()
        self.neighbours = min(neighbours, codebook.shape[1])
        self.register_buffer("codebook", codebook)
        self.codebook: Tensor

    def forward(self, content: Tensor, speaker_id: Tensor, share: Tensor | None = None) -> Tensor:
        """Return retrieved content [B, F, D], each vector as long as the one asked for, for content [B, F, D].

        Args:
            content: vectors of any length; encoders of others have lengths of their own, which a voice has learnt.
            speaker_id: [B].
            share: has no effect, see RetrievalInGraph.
        """
        if self.is_alone:
            return search_one(content, self.codebook[0], self.codebook.transpose(1, 2), self.neighbours)
        return search_several(content, self.codebook, speaker_id, self.neighbours)

    @property
    def is_alone(self) -> bool:
        """Whether the codebook is of one speaker."""
        return int(self.codebook.shape[0]) == 1

    def graph_form(self) -> "RetrievalInGraph":
        """Return the same retrieval as an exported graph has it."""
        return RetrievalInGraph(self)


class RetrievalInGraph(nn.Module):
    """CodebookRetrieval that does not search where nothing of the result is wanted, but returns the content itself.

    Args:
        retrieval: whose codebook is searched.
    """

    def __init__(self, retrieval: CodebookRetrieval) -> None:
        super().__init__()
        self.retrieval = retrieval

    def forward(self, content: Tensor, speaker_id: Tensor, share: Tensor) -> Tensor:
        """Return what CodebookRetrieval returns; the content itself for a share of 0 (scalar)."""
        codebook, is_alone = self.retrieval.codebook, self.retrieval.is_alone
        # the transposed table is made here, where it becomes a constant of the graph
        tables = (codebook[0], codebook.transpose(1, 2)) if is_alone else (codebook, speaker_id)
        # only a script's branch is a branch in a traced graph
        found: Tensor = _script(is_alone)(content, *tables, self.retrieval.neighbours, share)
        return found


def search_one(content: Tensor, entries: Tensor, columns: Tensor, neighbours: int) -> Tensor:
    """Return what content [B, F, D] retrieves from entries [K, D], given a second time as columns [1, D, K]."""
    level = torch.sqrt(content.square().mean(dim=-1, keepdim=True) + 1e-8)
    weights, indices = nearest(torch.matmul(content / level, columns), content.size(2), neighbours)
    return normalize_content((entries[indices] * weights.unsqueeze(-1)).sum(dim=2)) * level


def search_several(content: Tensor, codebook: Tensor, speaker_id: Tensor, neighbours: int) -> Tensor:
    """Return what content [B, F, D] retrieves from the entries of its speakers [B] in a codebook [S, K, D]."""
    entries = codebook[speaker_id]
    level = torch.sqrt(content.square().mean(dim=-1, keepdim=True) + 1e-8)
    weights, indices = nearest(torch.matmul(content / level, entries.transpose(1, 2)), content.size(2), neighbours)
    flat = indices.reshape(content.size(0), -1, 1).expand(-1, -1, content.size(2))
    near = torch.gather(entries, 1, flat).reshape(content.size(0), content.size(1), neighbours, content.size(2))
    return normalize_content((near * weights.unsqueeze(-1)).sum(dim=2)) * level


def nearest(products: Tensor, dim: int, neighbours: int, closest: float = SMALLEST_DISTANCE) -> tuple[Tensor, Tensor]:
    """Return weights and indices [B, F, N] of the nearest entries from products [B, F, K] of vectors [dim]."""
    values, indices = torch.topk(products / dim, neighbours, dim=-1)
    distances = (1.0 - values).clamp(min=closest)
    weights = (distances[..., :1] / distances).square()
    return weights / weights.sum(dim=-1, keepdim=True), indices


def search_one_if_wanted(content: Tensor, entries: Tensor, columns: Tensor, neighbours: int, share: Tensor) -> Tensor:
    """Do what search_one does if share > 0, in words that a script knows."""
    found = content
    if bool(share > 0):
        found = search_one(content, entries, columns, neighbours)
    return found


def search_several_if_wanted(
    content: Tensor, codebook: Tensor, speaker_id: Tensor, neighbours: int, share: Tensor
) -> Tensor:
    """Do what search_several does if share > 0, in words that a script knows."""
    found = content
    if bool(share > 0):
        found = search_several(content, codebook, speaker_id, neighbours)
    return found


@cache
def _script(is_alone: bool) -> Any:
    return torch.jit.script(search_one_if_wanted if is_alone else search_several_if_wanted)


def build_codebook(content: Tensor, size: int, *, iterations: int = 15, seed: int = 0) -> Tensor:
    """Cluster content [N, D] into at most `size` vectors [K, D] of length sqrt(D) by spherical k-means.

    With N <= size the vectors themselves are returned. Empty clusters are refilled from random frames; the result
    depends only on content, size and seed. All numbers are such that half precision holds them: so does a dataset's
    content, and a file is smaller.
    """
    vectors = normalize_content(content.float())
    if len(vectors) <= size:
        return vectors.half().float()
    centres = spherical_kmeans(
        vectors, size, generator=torch.Generator().manual_seed(seed), num_rounds=iterations,
        normalize=normalize_content, rows_at_once=16384,
    )  # fmt: skip
    return centres.half().float()


def equal_codebooks(vectors: Sequence[Tensor], most: int) -> Tensor:
    """Return [S, K, D] of each speaker's vectors [N, D]: at most `most`, filled up by repeating them.

    Repeated entries are for a retrieval of one neighbour, or of speakers of like many.
    """
    books = [build_codebook(each, most) for each in vectors]
    size = max(len(book) for book in books)
    return torch.stack([book[torch.arange(size) % len(book)] for book in books])


def entries_per_speaker(wanted: int | None, num_speakers: int) -> int:
    """Return the size of each speaker's codebook: what is wanted, or what suits the number of speakers."""
    if wanted is not None:
        return int(wanted)
    return ENTRIES_ALONE if num_speakers == 1 else ENTRIES_EACH
