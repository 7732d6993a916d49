"""The light voice: a frame-rate network that filters a pulse train and noise in the short-time Fourier domain.

ConvNeXt blocks read content, pitch, loudness and speaker once per 10 ms and predict, for every frequency bin, a complex
filter for the harmonic source and a gain for the noise; the inverse transform makes the audio. There is no upsampling
stack, so the cost is a small part of a HiFi-GAN's. Ideas: Agrawal et al. 2024 (DDSP vocoder), Vocos (Siuzdak 2023),
NSF.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from models.base import BaseVoiceConversionModel
from models.layers.causal import convolve_depthwise, convolve_rows, convolve_together
from models.layers.convnext import ConvNeXtBlock
from models.layers.excitation import FixedNoise, PulseTrain
from models.layers.image import apply_linear, from_image, to_image
from models.layers.image import convolve as convolve_image
from models.layers.overlap import LowDelayTransform
from models.layers.stream_memory import Memory
from models.layers.stream_source import StreamNoise, StreamPulses
from utils.audio.spectral import Stft

F0_REFERENCE_HZ = 220.0
LOUDNESS_CENTRE_DB = -35.0
LOUDNESS_SPREAD_DB = 20.0
MAX_LOG_GAIN = 7.0
IMAGE_CHANNELS = 16  # a multiple of these lets onnxruntime take its fast convolution


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
    """

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
    ) -> None:
        super().__init__(sample_rate=sample_rate, content_dim=content_dim, num_speakers=num_speakers)
        self.stft = Stft(n_fft, self.hop_length)
        self.pulses = PulseTrain(sample_rate, self.hop_length)
        self.noise = FixedNoise(self.hop_length)
        if n_fft >= 2 * self.hop_length and n_fft % 2 == 0:
            self.stream_transform = LowDelayTransform(n_fft, self.hop_length)
        self.stream_pulses = StreamPulses(sample_rate, self.hop_length)
        self.stream_noise = StreamNoise(self.noise)
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
        self.head = FilterHead(channels, self.stft.num_bins)

    def inference(self, content: Tensor, f0_hz: Tensor, loudness_db: Tensor, speaker_id: Tensor) -> Tensor:
        """Generate audio [B, F * hop] from content [B, F, D], f0_hz [B, F], loudness_db [B, F], speaker_id [B]."""
        loudness = ((loudness_db - LOUDNESS_CENTRE_DB) / LOUDNESS_SPREAD_DB).unsqueeze(1)
        if torch.jit.is_tracing():
            log_gain, phase, noise_log_gain = self._head_in_graph(content, f0_hz, loudness, speaker_id)
        else:
            x = self.content_in(content.transpose(1, 2)) + self.loudness_in(loudness) + self.pitch_embedding(f0_hz)
            speaker = self.speaker(speaker_id)
            for block, condition in zip(self.blocks, self.speaker_in, strict=True):
                x = block(x + condition(speaker).unsqueeze(-1))
            log_gain, phase, noise_log_gain = self.head(self.norm(x.transpose(1, 2)))
        # fp32 from here on: exponentials, phases and transforms lose too much in half precision
        with torch.autocast(f0_hz.device.type, enabled=False):
            return self._synthesize(log_gain.float(), phase.float(), noise_log_gain.float(), f0_hz.float())

    def _head_in_graph(
        self, content: Tensor, f0_hz: Tensor, loudness: Tensor, speaker_id: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return what the head returns in few operators: one convolution for all that comes in, and sums of what is
        added one after the other in place of the layers that make them."""
        inputs = (self.content_in, self.loudness_in, self.pitch_embedding.project)
        spare = -sum(layer.in_channels for layer in inputs) % IMAGE_CHANNELS
        channels, _, taps = self.content_in.weight.shape
        nothing = torch.zeros(channels, spare, taps, device=content.device)
        weight = torch.cat([*(layer.weight for layer in inputs), *([nothing] if spare else [])], dim=1)
        first, *others = (layer.bias for layer in inputs)
        assert first is not None
        bias = sum((other for other in others if other is not None), first)
        level = loudness.transpose(1, 2)
        read = [content, level, self.pitch_embedding.waves(f0_hz), *[level] * spare]
        image = to_image(torch.cat(read, dim=-1).unsqueeze(1))
        x = from_image(convolve_image(image, weight, bias, padding=taps // 2))  # [B, 1, F, C]
        blocks = [block for block in self.blocks if isinstance(block, ConvNeXtBlock)]
        now, *later = self._additions(blocks)[:, None, None][speaker_id].split(x.shape[-1], dim=-1)
        x = x + now
        for block, behind in zip(blocks, later, strict=True):
            x = x + block.product_in_graph(x) + behind
        made = from_image(apply_linear(self.head.project, to_image(self.norm(x)))).squeeze(1)
        log_gain, phase, noise_log_gain = made.split(self.head.num_bins, dim=-1)
        return log_gain, phase, noise_log_gain

    def _additions(self, blocks: list[ConvNeXtBlock]) -> Tensor:
        """Return [S, (blocks + 1) * C], a constant of a graph: what is added before and behind the blocks."""
        biases = [torch.zeros_like(self.norm.bias), *(block.scaled_projection()[1] for block in blocks)]
        sums = [layer(self.speaker.weight) + before for layer, before in zip(self.speaker_in, biases[:-1], strict=True)]
        return torch.cat([*sums, biases[-1].expand_as(sums[0])], dim=1)

    def stream_pieces(
        self, content: Tensor, f0_hz: Tensor, loudness_db: Tensor, speaker_id: Tensor, memory: Memory
    ) -> Tensor:
        """Generate from the past alone, see the base class; every convolution's look-ahead is folded, see causal.py."""
        loudness = ((loudness_db - LOUDNESS_CENTRE_DB) / LOUDNESS_SPREAD_DB).unsqueeze(-1)
        read = torch.cat([content, loudness, self.pitch_embedding.waves(f0_hz)], dim=-1)
        inputs = (self.content_in, self.loudness_in, self.pitch_embedding.project)
        x = convolve_together(inputs, read, memory, "inputs")
        blocks = [block for block in self.blocks if isinstance(block, ConvNeXtBlock)]
        if torch.jit.is_tracing():
            log_gain, phase, noise_log_gain = self._stream_head_in_graph(x.squeeze(0), speaker_id, blocks, memory)
        else:
            speaker = self.speaker(speaker_id)
            for index, (block, condition) in enumerate(zip(blocks, self.speaker_in, strict=True)):
                x = x + condition(speaker).unsqueeze(1)
                x = x + block.branch(convolve_depthwise(block.depthwise, x, memory, f"block{index}"))
            log_gain, phase, noise_log_gain = self.head(self.norm(x))
        # fp32 from here on, as in inference
        with torch.autocast(f0_hz.device.type, enabled=False):
            return self._filter_stream(log_gain.float(), phase.float(), noise_log_gain.float(), f0_hz.float(), memory)

    def _stream_head_in_graph(
        self, x: Tensor, speaker_id: Tensor, blocks: list[ConvNeXtBlock], memory: Memory
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return what the head returns, [F, bins] each, of [F, C]: rows of one stream, see _head_in_graph."""
        now, *later = self._additions(blocks)[speaker_id].split(x.shape[-1], dim=-1)
        x = x + now
        for index, (block, behind) in enumerate(zip(blocks, later, strict=True)):
            x = block.added_in_graph(x, convolve_rows(block.depthwise, x, memory, f"block{index}")) + behind
        return self.head(self.norm(x))

    def _filter_stream(
        self, log_gain: Tensor, phase: Tensor, noise_log_gain: Tensor, f0_hz: Tensor, memory: Memory
    ) -> Tensor:
        transform = self.stream_transform
        assert transform is not None
        sources = torch.stack([self.stream_pulses(f0_hz, memory), self.stream_noise(f0_hz, memory)], dim=1)
        real, imaginary = transform(sources, memory, "sources")
        pulses, noise = zip(real.unbind(1), imaginary.unbind(1), strict=True)
        return transform.pieces(*_filtered(pulses, noise, log_gain, phase, noise_log_gain))

    def _synthesize(self, log_gain: Tensor, phase: Tensor, noise_log_gain: Tensor, f0_hz: Tensor) -> Tensor:
        real, imaginary = self.stft.by_frame(torch.cat([self.pulses(f0_hz), self.noise.row(f0_hz)]))
        pulses, noise = (real[:-1], imaginary[:-1]), (real[-1:], imaginary[-1:])
        return self.stft.inverse_by_frame(*_filtered(pulses, noise, log_gain, phase, noise_log_gain))


class LiteStreamVoice(LiteVoice):
    """The light voice trained as a stream converts: no network looks ahead, content and pitch are 10 ms late.

    It has the tensors of LiteVoice, so that one starts from the other; the arguments are those of LiteVoice.
    """

    is_for_streams: ClassVar[bool] = True

    def inference(self, content: Tensor, f0_hz: Tensor, loudness_db: Tensor, speaker_id: Tensor) -> Tensor:
        """Generate audio [B, F * hop] from content [B, F, D], f0_hz [B, F], loudness_db [B, F], speaker_id [B]."""
        transform, frames = self.stream_transform, f0_hz.shape[1]
        assert transform is not None
        late = torch.cat([content[:, :1], content], dim=1), torch.cat([f0_hz[:, :1], f0_hz], dim=1)
        loudness = torch.cat([loudness_db, loudness_db[:, -1:]], dim=1)
        memory = Memory()
        audio = transform.add(self.stream_pieces(*late, loudness, speaker_id, memory), memory)
        # a frame's piece begins `early` samples before the frame
        early = transform.overlap // 2
        return audio[:, early : early + frames * self.hop_length]


def _filtered(
    pulses: tuple[Tensor, Tensor], noise: tuple[Tensor, Tensor], log_gain: Tensor, phase: Tensor, noise_log_gain: Tensor
) -> tuple[Tensor, Tensor]:
    """Return real and imaginary part of pulses under the complex filter plus noise under its gain, all of one shape."""
    gain = torch.exp(log_gain.clamp(max=MAX_LOG_GAIN))
    filter_real, filter_imaginary = gain * torch.cos(phase), gain * torch.sin(phase)
    noise_gain = torch.exp(noise_log_gain.clamp(max=MAX_LOG_GAIN))
    real = pulses[0] * filter_real - pulses[1] * filter_imaginary + noise[0] * noise_gain
    return real, pulses[0] * filter_imaginary + pulses[1] * filter_real + noise[1] * noise_gain


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
    """Per frame and bin: log gain and phase of the harmonic filter, log gain of the noise.

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

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return three tensors [B, F, num_bins] from [B, F, C]."""
        log_gain, phase, noise_log_gain = self.project(x).split(self.num_bins, dim=-1)
        return log_gain, phase, noise_log_gain
