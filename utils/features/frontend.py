"""From audio at any rate to the features that a voice model reads."""

from typing import NamedTuple

from torch import Tensor, nn

from utils.audio.frames import FEATURE_RATE, FRAME_RATE
from utils.audio.loudness import FrameLoudness
from utils.audio.resample import RationalResampler
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
