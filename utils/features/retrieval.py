"""Retrieval inside the model: replace content by a blend of the target speaker's own content."""

import torch
from torch import Tensor, nn

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

    def forward(self, content: Tensor, speaker_id: Tensor) -> Tensor:
        """Return retrieved content [B, F, D], each vector as long as the one asked for, for content [B, F, D].

        Args:
            content: vectors of any length; encoders of others have lengths of their own, which a voice has learnt.
            speaker_id: [B].
        """
        is_alone = self.codebook.shape[0] == 1
        entries = self.codebook if is_alone else self.codebook[speaker_id]  # the table itself is not copied
        level = torch.sqrt(content.square().mean(dim=-1, keepdim=True) + 1e-8)
        similarity = torch.matmul(content / level, entries.transpose(1, 2)) / content.shape[-1]
        values, indices = torch.topk(similarity, self.neighbours, dim=-1)
        distances = (1.0 - values).clamp(min=SMALLEST_DISTANCE)
        weights = (distances[..., :1] / distances).square()
        weights = weights / weights.sum(dim=-1, keepdim=True)
        if is_alone:
            return normalize_content((self.codebook[0][indices] * weights.unsqueeze(-1)).sum(dim=2)) * level
        batch, frames, dim = content.shape
        flat = indices.reshape(batch, -1, 1).expand(-1, -1, dim)
        near = torch.gather(entries, 1, flat).reshape(batch, frames, self.neighbours, dim)
        return normalize_content((near * weights.unsqueeze(-1)).sum(dim=2)) * level


def build_codebook(content: Tensor, size: int, *, iterations: int = 15, seed: int = 0) -> Tensor:
    """Cluster content [N, D] into at most `size` vectors [K, D] of length sqrt(D) by spherical k-means.

    With N <= size the vectors themselves are returned. Empty clusters are refilled from random frames; the result
    depends only on content, size and seed. All numbers are such that half precision holds them: so does a dataset's
    content, and a file is smaller.
    """
    vectors = normalize_content(content.float())
    if len(vectors) <= size:
        return vectors.half().float()
    generator = torch.Generator().manual_seed(seed)
    centres = vectors[torch.randperm(len(vectors), generator=generator)[:size]].clone()
    for _ in range(iterations):
        labels = torch.cat([(chunk @ centres.T).argmax(1) for chunk in vectors.split(16384)])
        sums = torch.zeros_like(centres).index_add_(0, labels, vectors)
        counts = torch.bincount(labels, minlength=size)
        empty = (counts == 0).nonzero().squeeze(1)
        sums[empty] = vectors[torch.randint(len(vectors), (len(empty),), generator=generator)]
        centres = normalize_content(sums)
    return centres.half().float()


def entries_per_speaker(wanted: int | None, num_speakers: int) -> int:
    """Return the size of each speaker's codebook: what is wanted, or what suits the number of speakers."""
    if wanted is not None:
        return int(wanted)
    return ENTRIES_ALONE if num_speakers == 1 else ENTRIES_EACH
