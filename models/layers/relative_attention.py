"""Self-attention with embeddings of the distance, computed in blocks of frames so that memory grows with the length.

Every frame attends to every other one, as published; only one block's table of scores exists at a time.
"""

import math

import torch
import torch.nn.functional as functional
from torch import Tensor

BLOCK_FRAMES = 512  # a minute then takes 25 MB of scores for two heads


def attend(
    query: Tensor, key: Tensor, value: Tensor, near_key: Tensor, near_value: Tensor, mask: Tensor | None = None
) -> Tensor:
    """Return what each frame collects from all frames (Shaw et al. 2018).

    Args:
        query: [B, H, F, N].
        key: [B, H, F, N].
        value: [B, H, F, N].
        near_key: [1, 2W+1, N], added to the keys of frames up to W away; further ones get none.
        near_value: [1, 2W+1, N], likewise for the values.
        mask: [B, 1, F] with 0 in padding, which neither asks nor is asked, or None for no padding.
    Returns:
        [B, H, F, N].
    """
    query = query / math.sqrt(query.shape[3])
    blocks = []
    for start in range(0, query.shape[2], BLOCK_FRAMES):
        scores = score(query[:, :, start : start + BLOCK_FRAMES], key, near_key, start)
        if mask is not None:
            pairs = mask[:, :, start : start + BLOCK_FRAMES].unsqueeze(3) * mask.unsqueeze(2)
            scores = scores.masked_fill(pairs == 0, -1e4)
        blocks.append(collect(scores, value, near_value, start))
    return torch.cat(blocks, dim=2) if len(blocks) > 1 else blocks[0]


def score(part: Tensor, key: Tensor, near_key: Tensor, start: int) -> Tensor:
    """Return [B, H, R, F], how much frames start, ..., start + R - 1 want of each frame."""
    rows, frames, window = part.size(2), key.size(2), near_key.size(1) // 2
    # by distance [.., R, 2W+1] -> by frame [.., R, R+2W]: with R zeros appended to each row, reading the same numbers
    # in rows that are one shorter moves row i by i
    near = functional.pad(torch.matmul(part, near_key.transpose(1, 2)), [0, rows])
    near = near.reshape(near.size(0), near.size(1), -1)[:, :, : rows * (rows + 2 * window)]
    near = near.reshape(near.size(0), near.size(1), rows, rows + 2 * window)
    near = functional.pad(near, [start, frames - start - rows])[:, :, :, window : window + frames]
    return torch.matmul(part, key.transpose(2, 3)) + near


def collect(scores: Tensor, value: Tensor, near_value: Tensor, start: int) -> Tensor:
    """Return [B, H, R, N], what the frames of `score` collect."""
    rows, window = scores.size(2), near_value.size(1) // 2
    share = torch.softmax(scores, dim=-1)
    # the reverse of what `score` does: [.., R, R+2W] by frame -> [.., R, 2W+1] by distance
    near = functional.pad(share, [window, window])[:, :, :, start : start + rows + 2 * window]
    near = functional.pad(near.reshape(near.size(0), near.size(1), -1), [0, rows])
    near = near.reshape(near.size(0), near.size(1), rows, -1)[:, :, :, : 2 * window + 1]
    return torch.matmul(share, value) + torch.matmul(near, near_value.to(share.dtype))
