"""What all HuBERT-like encoders share: the audio that they are given, their frames on ours, what names them."""

from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor

from utils.audio.frames import FEATURE_HOP

REPEATS = 2  # 50 frames a second become 100
HUBERT_HOP = REPEATS * FEATURE_HOP
VERSION = "2"


def identity(encoder: Any, weights_sha256: str) -> dict[str, Any]:
    """Return what names an encoder of this kind."""
    plain = {
        "id": encoder.name, "version": VERSION, "layer": encoder.layer, "weights_sha256": weights_sha256,
        "dim": encoder.dim,
    }  # fmt: skip
    flags = {"is_projected": encoder.is_projected, "is_normalized": encoder.is_normalized}
    return plain | {key: True for key, value in flags.items() if value}


def prepared(audio: Tensor, shortest: int, *, is_normalized: bool) -> Tensor:
    """Return audio [B, T] as the network wants it: normalised where asked for, mirrored so that its frames are centred.

    Args:
        audio: at least 10 ms.
        shortest: samples that one frame sees; silence stands behind what is shorter.
        is_normalized: whether to bring it to zero mean and unit variance.
    """
    if is_normalized:
        centred = audio - audio.mean(dim=1, keepdim=True)
        # 1e-7 as transformers' feature extractor adds to the variance
        audio = centred * torch.rsqrt(centred.square().mean(dim=1, keepdim=True) + 1e-7)
    margin = (shortest - HUBERT_HOP) // 2
    mirrored = functional.pad(audio, (margin, margin), mode="reflect")
    length = torch.ones_like(mirrored[0], dtype=torch.int64).sum().clamp(min=shortest)
    return functional.pad(mirrored, (0, shortest))[:, :length]


def on_our_frames(hidden: Tensor, audio: Tensor) -> Tensor:
    """Return [B, F, D] at 100 frames a second of [B, F', D] at 50, for audio [B, F * 160]."""
    last = hidden[:, -1:]
    doubled = torch.cat([hidden, last], dim=1).repeat_interleave(REPEATS, dim=1)
    return doubled[:, : audio.shape[-1] // FEATURE_HOP]
