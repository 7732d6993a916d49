"""The smallest architecture that works, for tests and as a template: shaped noise plus pulses, no depth."""

import torch
from torch import Tensor, nn

from models.base import BaseVoiceConversionModel
from models.layers.excitation import FixedNoise, PulseTrain
from utils.audio.spectral import Stft


class ToyVoice(BaseVoiceConversionModel):
    """One hidden layer from features to the gains of harmonics and noise per frequency band.

    Args:
        sample_rate: samples per second of the generated audio.
        n_fft: window of the synthesis transform in samples.
        content_dim: D, size of a content vector.
        num_speakers: S, speakers the model can speak as.
        channels: width of the hidden layer.
    """

    def __init__(
        self, *, sample_rate: int, n_fft: int, content_dim: int, num_speakers: int, channels: int = 32
    ) -> None:
        super().__init__(sample_rate=sample_rate, content_dim=content_dim, num_speakers=num_speakers)
        self.stft = Stft(n_fft, self.hop_length)
        self.pulses = PulseTrain(sample_rate, self.hop_length)
        self.noise = FixedNoise(self.hop_length)
        self.speaker = nn.Embedding(num_speakers, channels)
        self.input = nn.Linear(content_dim + 2, channels)
        self.output = nn.Linear(channels, 2 * self.stft.num_bins)
        nn.init.constant_(self.output.bias, -5.0)

    def inference(self, content: Tensor, f0_hz: Tensor, loudness_db: Tensor, speaker_id: Tensor) -> Tensor:
        """Generate audio [B, F * hop] from content [B, F, D], f0_hz [B, F], loudness_db [B, F], speaker_id [B]."""
        extras = torch.stack([f0_hz / 400.0, loudness_db / 40.0], dim=-1)
        hidden = torch.tanh(self.input(torch.cat([content, extras], dim=-1)) + self.speaker(speaker_id).unsqueeze(1))
        with torch.autocast(f0_hz.device.type, enabled=False):
            gains = torch.exp(self.output(hidden).float().clamp(max=5.0)).transpose(1, 2)
            tone_gain, noise_gain = gains.chunk(2, dim=1)
            tone_real, tone_imaginary = self.stft(self.pulses(f0_hz.float()))
            noise_real, noise_imaginary = self.stft(self.noise(f0_hz.float()))
            real = tone_real * tone_gain + noise_real * noise_gain
            return self.stft.inverse(real, tone_imaginary * tone_gain + noise_imaginary * noise_gain)
