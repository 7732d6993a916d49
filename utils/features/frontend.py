"""From audio at any rate to the features that a voice model reads."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from utils.audio.frames import FEATURE_RATE, FRAME_RATE
from utils.audio.loudness import FrameLoudness
from utils.audio.resample import RationalResampler
from utils.audio.reshaping import reshape
from utils.features.content.base import ContentEncoder


class Analysis(NamedTuple):
    """Features of F frames: content [B, F, D], f0_hz [B, F] (0 = unvoiced), loudness_db [B, F]."""

    content: Tensor
    f0_hz: Tensor
    loudness_db: Tensor


class AnalysisFrontend(nn.Module):
    """Resampling to 16 kHz, content, pitch and loudness as one module, the part of the graph before the generator.

    Args:
        content_encoder: an exportable encoder.
        pitch_tracker: an exportable tracker ([B, F * 160] -> [B, F] Hz).
        io_rate: rate of the audio that will be given.
    """

    def __init__(self, content_encoder: ContentEncoder, pitch_tracker: nn.Module, io_rate: int) -> None:
        super().__init__()
        self.content_encoder = content_encoder
        self.pitch_tracker = pitch_tracker
        self.loudness = FrameLoudness()
        self.resampler = RationalResampler(io_rate, FEATURE_RATE)
        self.io_rate = io_rate
        self.io_hop = io_rate // FRAME_RATE

    def forward(self, audio: Tensor) -> Analysis:
        """Analyse audio [B, F * io_rate / 100]."""
        audio_16k = self.resampler(audio)
        return Analysis(self.content_encoder(audio_16k), self.pitch_tracker(audio_16k), self.loudness(audio_16k))


class AudioFrontend(nn.Module):
    """The part of the graph before a generator that reads the audio itself: its samples at the generator's rate.

    Args:
        io_rate: rate of the audio that will be given.
        model_rate: of the generator.
    """

    def __init__(self, io_rate: int, model_rate: int) -> None:
        super().__init__()
        self.loudness = FrameLoudness()
        self.resampler = RationalResampler(io_rate, FEATURE_RATE)
        self.to_model = RationalResampler(io_rate, model_rate)
        self.model_hop = model_rate // FRAME_RATE

    def forward(self, audio: Tensor) -> Analysis:
        """Return frames of audio [B, F, model_hop] as content, no pitch, and the loudness of [B, F * io_rate / 100]."""
        content = reshape(self.to_model(audio), 0, -1, self.model_hop)
        loudness_db = self.loudness(self.resampler(audio))
        return Analysis(content, torch.zeros_like(loudness_db), loudness_db)
