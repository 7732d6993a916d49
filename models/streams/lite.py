"""The light voice as a stream: no layer looks ahead, and content and pitch are those of the frame before."""

import torch
from torch import Tensor, nn

from models.base import StreamForm, no_form
from models.layers.excitation import FixedNoise
from models.layers.overlap import LowDelayTransform
from models.layers.source_filter import Filters
from models.layers.stream_memory import Memory
from models.lite import LiteVoice, scaled_loudness
from models.streams.causal import convolve_depthwise, convolve_together
from models.streams.source import StreamNoise, StreamPulses
from utils.audio.frames import FRAME_RATE


class LiteStream(StreamForm):
    """LiteVoice as a stream.

    Args:
        voice: whose weights are used.
    Raises:
        ExportError: if its window is too short or odd.
    """

    def __init__(self, voice: LiteVoice) -> None:
        if voice.n_fft < 2 * voice.hop_length or voice.n_fft % 2:
            raise no_form(voice, "stream")
        synthesis = StreamSynthesis(voice.sample_rate, voice.n_fft).to(voice.speaker.weight.device)
        super().__init__(voice, synthesis.transform)
        self.voice = voice
        self.synthesis = synthesis

    def pieces(self, content: Tensor, f0_hz: Tensor, loudness_db: Tensor, speaker_id: Tensor, memory: Memory) -> Tensor:
        """Generate the next pieces, see StreamForm."""
        filters = predict_filters(self.voice, content, f0_hz, loudness_db, speaker_id, memory)
        pieces: Tensor = self.synthesis(filters, f0_hz, memory)
        return pieces

    def graph_form(self) -> nn.Module:
        """Return the form of an exported graph."""
        return self.voice.form("stream in a graph")


class StreamSynthesis(nn.Module):
    """From filters and pitch to pieces of audio, see SourceFilterSynthesis.

    Args:
        sample_rate: samples per second of the audio.
        n_fft: window of the transform in samples, even and at least two hops.
    """

    def __init__(self, sample_rate: int, n_fft: int) -> None:
        super().__init__()
        hop_length = sample_rate // FRAME_RATE
        self.transform = LowDelayTransform(n_fft, hop_length)
        self.pulses = StreamPulses(sample_rate, hop_length)
        self.noise = StreamNoise(FixedNoise(hop_length))

    def forward(self, filters: Filters, f0_hz: Tensor, memory: Memory) -> Tensor:
        """Return the next pieces [B, F, hop_length + overlap] of filters and f0_hz [B, F]."""
        # fp32 as in SourceFilterSynthesis
        with torch.autocast(f0_hz.device.type, enabled=False):
            f0_hz = f0_hz.float()
            sources = torch.stack([self.pulses(f0_hz, memory), self.noise(f0_hz, memory)], dim=1)
            real, imaginary = self.transform(sources, memory, "sources")
            pulses, noise = zip(real.unbind(1), imaginary.unbind(1), strict=True)
            return self.transform.pieces(*filters.apply(pulses, noise))


def predict_filters(
    voice: LiteVoice, content: Tensor, f0_hz: Tensor, loudness_db: Tensor, speaker_id: Tensor, memory: Memory
) -> Filters:
    """Return the filters of the next frames, see StreamForm.pieces; every layer's look-ahead is folded (causal.py)."""
    x = convolve_together(input_layers(voice), read_side_by_side(voice, content, f0_hz, loudness_db), memory, "inputs")
    speaker = voice.speaker(speaker_id)
    for index, (block, condition) in enumerate(zip(voice.convnext_blocks, voice.speaker_in, strict=True)):
        x = x + condition(speaker).unsqueeze(1)
        x = x + block.branch(convolve_depthwise(block.depthwise, x, memory, f"block{index}"))
    filters: Filters = voice.head(voice.norm(x))
    return filters


def input_layers(voice: LiteVoice) -> tuple[nn.Conv1d, ...]:
    """Return the layers that read what comes in; their results are added."""
    return voice.content_in, voice.loudness_in, voice.pitch_embedding.project


def read_side_by_side(voice: LiteVoice, content: Tensor, f0_hz: Tensor, loudness_db: Tensor) -> Tensor:
    """Return what the layers of input_layers read side by side, [B, F, in]."""
    loudness = scaled_loudness(loudness_db).unsqueeze(-1)
    return torch.cat([content, loudness, voice.pitch_embedding.waves(f0_hz)], dim=-1)
