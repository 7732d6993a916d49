"""The light voice: a frame-rate network that filters a pulse train and noise in the short-time Fourier domain.

ConvNeXt blocks read content, pitch, loudness and speaker once per 10 ms and predict, for every frequency bin, a complex
filter for the harmonic source and a gain for the noise; the inverse transform makes the audio. There is no upsampling
stack, so the cost is a small part of a HiFi-GAN's. Ideas: Agrawal et al. 2024 (DDSP vocoder), Vocos (Siuzdak 2023),
NSF (Wang et al. 2019).
"""

import math
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from models.base import BaseVoiceConversionModel
from models.layers.bandwidth import WINDOWS_A_SECOND, fit_bins
from models.layers.convnext import ConvNeXtBlock
from models.layers.held_ends import with_held_ends, without_held_ends
from models.layers.source_filter import Filters, SourceFilterSynthesis

F0_REFERENCE_HZ = 220.0
LOUDNESS_CENTRE_DB, LOUDNESS_SPREAD_DB = -35.0, 20.0


class LiteVoice(BaseVoiceConversionModel):
    """Source-filter generator at frame rate.

    Args:
        sample_rate: samples per second of the generated audio.
        n_fft: window of the synthesis transform in samples.
        content_dim: D, size of a content vector.
        num_speakers: S, speakers the model can speak as.
        channels: width of the blocks.
        num_blocks: number of ConvNeXt blocks.
        kernel_size: frames seen by each block.
        expansion: width of a block's hidden layer as a multiple of channels.
        speaker_dim: size of a speaker's embedding.
        closed_ends: for blocks that are made by themselves: beyond its ends the network reads the first and the last
            frame again where it would read zeros, and a voiced stretch that reaches the end of what is given ends with
            a whole cycle, so that the pulses go on in the next block.
    """

    forms: ClassVar[dict[str, str]] = {
        "graph": "models.export_forms.lite.LiteInGraph",
        "stream": "models.streams.lite.LiteStream",
        "stream in a graph": "models.export_forms.lite.LiteStreamInGraph",
    }

    def __init__(
        self,
        *,
        sample_rate: int,
        n_fft: int,
        content_dim: int,
        num_speakers: int,
        channels: int = 320,
        num_blocks: int = 8,
        kernel_size: int = 7,
        expansion: int = 3,
        speaker_dim: int = 128,
        closed_ends: bool = False,
    ) -> None:
        super().__init__(sample_rate=sample_rate, content_dim=content_dim, num_speakers=num_speakers)
        self.n_fft, self.closed_ends = n_fft, closed_ends
        self.synthesis = self.make_synthesis()
        self.speaker = nn.Embedding(num_speakers, speaker_dim)
        nn.init.normal_(self.speaker.weight, std=0.3)
        self.pitch_embedding = PitchEmbedding(channels)
        self.content_in = nn.Conv1d(content_dim, channels, 3, padding=1)
        self.loudness_in = nn.Conv1d(1, channels, 3, padding=1)
        self.blocks = nn.ModuleList(
            ConvNeXtBlock(channels, expansion=expansion, kernel_size=kernel_size) for _ in range(num_blocks)
        )
        self.speaker_in = nn.ModuleList(nn.Linear(speaker_dim, channels) for _ in range(num_blocks))
        self.norm = nn.LayerNorm(channels)
        self.head = FilterHead(channels, n_fft // 2 + 1)

    def inference(self, content: Tensor, f0_hz: Tensor, loudness_db: Tensor, speaker_id: Tensor) -> Tensor:
        """Generate audio [B, F * hop] from content [B, F, D], f0_hz [B, F], loudness_db [B, F], speaker_id [B]."""
        audio: Tensor = self.synthesis(self.predict_filters(content, f0_hz, loudness_db, speaker_id), f0_hz)
        return audio

    def predict_filters(self, content: Tensor, f0_hz: Tensor, loudness_db: Tensor, speaker_id: Tensor) -> Filters:
        """Return the filters of each frame; the arguments are those of inference."""
        if self.closed_ends:
            held = with_held_ends(content), with_held_ends(f0_hz), with_held_ends(loudness_db)
            return Filters(*map(without_held_ends, self._predict_filters(*held, speaker_id)))
        return self._predict_filters(content, f0_hz, loudness_db, speaker_id)

    def _predict_filters(self, content: Tensor, f0_hz: Tensor, loudness_db: Tensor, speaker_id: Tensor) -> Filters:
        loudness = scaled_loudness(loudness_db).unsqueeze(1)
        x = self.content_in(content.transpose(1, 2)) + self.loudness_in(loudness) + self.pitch_embedding(f0_hz)
        speaker = self.speaker(speaker_id)
        for block, condition in zip(self.blocks, self.speaker_in, strict=True):
            x = block(x + condition(speaker).unsqueeze(-1))
        filters: Filters = self.head(self.norm(x.transpose(1, 2)))
        return filters

    def fit_weights(self, weights: dict[str, Tensor]) -> str:
        """Give the filters of a base voice of another rate the bins of this one's, see models/layers/bandwidth.py."""
        has_usual_bins = self.n_fft * WINDOWS_A_SECOND == self.sample_rate
        return fit_bins(weights, "head.project", self.head.num_bins) if has_usual_bins else ""

    @property
    def convnext_blocks(self) -> list[ConvNeXtBlock]:
        """The blocks."""
        return [cast(ConvNeXtBlock, block) for block in self.blocks]

    def make_synthesis(self) -> nn.Module:
        """Return the module from filters and pitch to audio."""
        return SourceFilterSynthesis(self.sample_rate, self.n_fft, closed=self.closed_ends)


class PitchEmbedding(nn.Module):
    """Pitch and voicing as channels: sinusoids of log-frequency and a voiced flag, projected.

    Args:
        channels: C of the output.
        num_waves: sinusoids with periods of 8, 4, 2, ... octaves.
    """

    def __init__(self, channels: int, *, num_waves: int = 6) -> None:
        super().__init__()
        self.project = nn.Conv1d(2 * num_waves + 2, channels, 3, padding=1)
        self.register_buffer("rates", 2 * math.pi * 2.0 ** torch.arange(num_waves) / 8.0, persistent=False)
        self.rates: Tensor

    def forward(self, f0_hz: Tensor) -> Tensor:
        """Return [B, C, F] from f0_hz [B, F] with 0 in unvoiced frames."""
        projected: Tensor = self.project(self.waves(f0_hz).transpose(1, 2))
        return projected

    def waves(self, f0_hz: Tensor) -> Tensor:
        """Return [B, F, 2 * num_waves + 2], what is projected, from f0_hz [B, F]."""
        voiced = (f0_hz > 0).to(f0_hz.dtype)
        octaves = torch.log2(f0_hz.clamp(min=20.0) / F0_REFERENCE_HZ) * voiced
        angles = octaves.unsqueeze(-1) * self.rates
        waves = torch.cat([torch.sin(angles), torch.cos(angles)], dim=-1) * voiced.unsqueeze(-1)
        return torch.cat([waves, octaves.unsqueeze(-1), voiced.unsqueeze(-1)], dim=-1)


class FilterHead(nn.Module):
    """From the last hidden frames to the filters.

    Args:
        channels: C of the input.
        num_bins: frequency bins.
    """

    def __init__(self, channels: int, num_bins: int) -> None:
        super().__init__()
        self.num_bins = num_bins
        self.project = nn.Linear(channels, 3 * num_bins)
        nn.init.normal_(self.project.weight, std=0.01)
        nn.init.zeros_(self.project.bias)
        with torch.no_grad():
            # start quiet and with a falling spectrum, near the level of speech
            slope = torch.linspace(-3.0, -7.0, num_bins)
            self.project.bias[:num_bins] = slope
            self.project.bias[2 * num_bins :] = slope - 2.0

    def forward(self, x: Tensor) -> Filters:
        """Return filters of num_bins from [B, F, C]."""
        return Filters(*self.project(x).split(self.num_bins, dim=-1))


def scaled_loudness(loudness_db: Tensor) -> Tensor:
    """Return loudness_db [B, F] as the network reads it, about -1 to 1 for speech."""
    return (loudness_db - LOUDNESS_CENTRE_DB) / LOUDNESS_SPREAD_DB
