"""From our frames, 100 a second, to those of So-VITS-SVC, one per 512 samples at 44100 Hz.

As published, a clip's content is stretched over its frames by picking, and so is its pitch, by another ratio: both of a
clip's ends stay together.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as functional
from torch import Tensor

from utils.audio.filling import fill_unvoiced
from utils.audio.frames import FEATURE_HOP

ENCODER_WINDOW, ENCODER_HOP = 400, 320  # samples at 16 kHz that HuBERT sees, and between its frames
UNITS_HELD = 2  # times that each of its frames stands in ours


class OwnFrames(NamedTuple):
    """Features of T frames of So-VITS-SVC.

    Attributes:
        content: [B, T, D].
        f0_hz: [B, T], filled between voiced frames; 0 in clips without any.
        voiced: [B, T], 1 or 0.
        volume: [B, T], root mean square.
        mask: [B, 1, T], 1 in frames that are not padding; None where there is none.
    """

    content: Tensor
    f0_hz: Tensor
    voiced: Tensor
    volume: Tensor
    mask: Tensor | None


def own_frames(
    content: Tensor, f0_hz: Tensor, loudness_db: Tensor, num_frames: Tensor, *, hop_length: int, own_hop: int
) -> OwnFrames:
    """Pick So-VITS-SVC's frames from ours.

    Args:
        content: [B, F, D], each frame of the encoder twice.
        f0_hz: [B, F], 0 in unvoiced frames.
        loudness_db: [B, F]; the volume made of it is smoother than frame_volume, which needs the audio.
        num_frames: [B] int64, our frames that are not padding.
        hop_length: samples per frame of ours.
        own_hop: samples per frame of So-VITS-SVC.
    """
    counts = own_count(num_frames, hop_length, own_hop)
    units = ((num_frames * FEATURE_HOP - ENCODER_WINDOW) // ENCODER_HOP + 1).clamp(min=1)
    most = own_count(torch.ones_like(f0_hz[:1], dtype=torch.int64).sum(dim=1), hop_length, own_hop)[0]
    steps = (torch.cumsum(torch.ones_like(f0_hz, dtype=torch.int64), dim=1) - 1)[:, :most]
    rows = stretched_rows(steps, UNITS_HELD * units, counts, num_frames)
    # the published trackers give one value more than there are frames of 10 ms, the last at the clip's end
    pitch_rows = stretched_rows(steps, num_frames + 1, counts, num_frames)
    mask = (steps < counts.unsqueeze(1)).to(f0_hz.dtype)
    picked = f0_hz.gather(1, pitch_rows) * mask
    return OwnFrames(
        content=content.gather(1, rows.unsqueeze(2).expand(-1, -1, content.shape[2])) * mask.unsqueeze(2),
        f0_hz=fill_unvoiced(picked) * mask,
        voiced=(picked > 0).to(f0_hz.dtype),
        volume=torch.pow(10.0, loudness_db.gather(1, pitch_rows) / 20.0) * mask,
        mask=mask.unsqueeze(1),
    )


def padding_mask(frames: OwnFrames) -> Tensor:
    """Return the mask [B, 1, T] of the frames of a batch."""
    assert frames.mask is not None
    return frames.mask


def frame_volume(audio: Tensor, hop_length: int) -> Tensor:
    """Return the root mean square [B, T] of the hop around the first sample of each frame of audio [B, T * hop]."""
    half = hop_length // 2
    power = functional.pad(audio.square(), (half, half), mode="reflect")
    means = power[:, : audio.shape[1] // hop_length * hop_length].reshape(len(audio), -1, hop_length).mean(dim=2)
    return torch.sqrt(means)


def own_count(num_frames: Tensor, hop_length: int, own_hop: int) -> Tensor:
    """Return how many frames of So-VITS-SVC there are in num_frames of ours, at least 1."""
    return (num_frames * hop_length // own_hop).clamp(min=1)


def stretched_rows(steps: Tensor, given: Tensor, wanted: Tensor, available: Tensor) -> Tensor:
    """Return which of `given` rows each of `wanted` steps picks: floor(step * given / wanted).

    Args:
        steps: [B, T] int64, 0 to T - 1.
        given: [B] int64, rows that are stretched.
        wanted: [B] int64, frames over which they are stretched; later steps are padding.
        available: [B] int64, rows that there are; a later one gets the last.
    """
    rows = steps * given.unsqueeze(1) // wanted.unsqueeze(1)
    return torch.minimum(rows, (available - 1).unsqueeze(1))
