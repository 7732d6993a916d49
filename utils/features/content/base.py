"""What every content encoder offers."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from utils.audio.reshaping import reshape


class ContentEncoder(nn.Module):
    """Base of the encoders: frozen networks from 16 kHz audio to what was said, without who said it.

    Attributes:
        dim: D, size of one feature vector; ours have the length sqrt(D), so cosine and Euclidean neighbours agree,
            those of others have the lengths that voices of theirs have learnt.
        is_exportable: whether the encoder can stand inside an exported graph.
    """

    dim: int
    is_exportable: bool = True

    @property
    def identity(self) -> dict[str, Any]:
        """Plain data that names the encoder, its weights' hash and D; goes into datasets, checkpoints and exports."""
        raise NotImplementedError

    def forward(self, audio: Tensor) -> Tensor:
        """Return features [B, F, D] of audio [B, F * 160] at 16 kHz."""
        raise NotImplementedError

    @torch.no_grad()
    def encode(self, audio: np.ndarray) -> np.ndarray:
        """Return features float32 [F, D] of 16 kHz audio [F * 160]; an empty input gives [0, D]."""
        if len(audio) == 0:
            return np.zeros((0, self.dim), np.float32)
        return self.forward(torch.from_numpy(np.ascontiguousarray(audio, dtype=np.float32))[None])[0].numpy()


def normalize_content(features: Tensor) -> Tensor:
    """Scale each vector of [..., D] to the length sqrt(D), so that a component has unit variance on average."""
    # rsqrt of a sum: functional.normalize has a clamp that exports as extra nodes
    return features * torch.rsqrt(features.square().mean(dim=-1, keepdim=True) + 1e-8)


def double_frame_rate(features: Tensor) -> Tensor:
    """Linearly interpolate [B, F/2, D] at 50 frames a second to [B, F, D] at 100.

    Frame k of the input is centred between the output frames 2k and 2k+1, so both lie a quarter frame from it.
    """
    longer = torch.cat([features[:, :1], features, features[:, -1:]], dim=1)
    beside = torch.cat([longer[:, :-2], longer[:, 2:]], dim=2)  # those of the early and of the late frame
    both = 0.75 * torch.cat([features, features], dim=2) + 0.25 * beside
    return reshape(both, 0, -1, int(features.shape[2]))
