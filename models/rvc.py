"""RVC v1 and v2: VITS (Kim et al. 2021) on content features, with a HiFi-GAN decoder that is told the pitch.

Names and shapes of the parameters are those of the published checkpoints. What is random in the published code is an
argument here: per-clip random numbers in training, a fixed table in a conversion.
"""

import math
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from models.base import BaseVoiceConversionModel, TrainingPass
from models.clip_random import ClipRandom
from models.layers.excitation import FixedNoise
from models.layers.rvc_decoder import HifiGanDecoder, SourceDecoder
from models.layers.rvc_encoders import Flow, Gaussian, PosteriorEncoder, PriorEncoder, masked
from utils.audio.batch import VoiceBatch
from utils.audio.spectral import PUBLISHED_OFFSET, Stft
from utils.errors import ConfigError

PRIOR_DEVIATION = 0.66666  # share of the prior's deviation that the noise of a conversion has


class RVCModel(BaseVoiceConversionModel):
    """RVC's generator.

    Args:
        sample_rate: samples per second of the generated audio.
        n_fft: window of the posterior's linear spectrogram in samples.
        content_dim: D; 256 in v1, 768 in v2.
        num_speakers: S; 109 in the published checkpoints.
        use_f0: whether the voice is told the pitch.
        upsample_rates: factor of each stage of the decoder; their product is sample_rate / 100.
        upsample_kernel_sizes: kernel of each stage; kernel minus factor must be even.
        training_frames: frames of each clip that are decoded in training.
        hidden_channels: C, width of the latent and of the encoders.
        filter_channels: width inside the prior's feed-forward blocks.
        num_heads: attention heads of the prior.
        num_layers: blocks of the prior.
        kernel_size: frames seen by the prior's feed-forward convolutions.
        posterior_layers: convolutions of the posterior.
        upsample_channels: width of the decoder before its first stage.
        resblock_kernel_sizes: kernels of the decoder's residual blocks.
        resblock_dilations: dilations in each of them.
        speaker_dim: size of a speaker's embedding.
    Raises:
        ConfigError: if the stages do not make a hop of samples from a frame, or too few frames are decoded.
    """

    forms: ClassVar[dict[str, str]] = {
        "graph": "models.export_forms.rvc.rvc_in_graph",
        "features": "models.export_forms.rvc.FeatureDecoder",
    }
    decoder: ClassVar[type[SourceDecoder]] = HifiGanDecoder
    training_terms = ("kl",)
    needs_context = True  # the published runtimes give 0.5 to 2.5 s and crossfade what is left

    def __init__(
        self,
        *,
        sample_rate: int,
        n_fft: int,
        content_dim: int,
        num_speakers: int,
        use_f0: bool,
        upsample_rates: Sequence[int],
        upsample_kernel_sizes: Sequence[int],
        training_frames: int,
        hidden_channels: int = 192,
        filter_channels: int = 768,
        num_heads: int = 2,
        num_layers: int = 6,
        kernel_size: int = 3,
        posterior_layers: int = 16,
        upsample_channels: int = 512,
        resblock_kernel_sizes: Sequence[int] = (3, 7, 11),
        resblock_dilations: Sequence[Sequence[int]] = ((1, 3, 5), (1, 3, 5), (1, 3, 5)),
        speaker_dim: int = 256,
    ) -> None:
        super().__init__(sample_rate=sample_rate, content_dim=content_dim, num_speakers=num_speakers)
        _check_stages(self.hop_length, upsample_rates, upsample_kernel_sizes)
        _check_training_frames(self.hop_length, training_frames, n_fft)
        self.use_f0 = use_f0
        self.training_frames = training_frames
        self.hidden_channels = hidden_channels
        self.enc_p = PriorEncoder(
            content_dim=content_dim,
            channels=hidden_channels,
            filter_channels=filter_channels,
            num_heads=num_heads,
            num_layers=num_layers,
            kernel_size=kernel_size,
            use_f0=use_f0,
        )
        self.dec = self.decoder(
            channels=hidden_channels,
            sample_rate=sample_rate,
            upsample_rates=upsample_rates,
            upsample_kernel_sizes=upsample_kernel_sizes,
            upsample_channels=upsample_channels,
            resblock_kernel_sizes=resblock_kernel_sizes,
            resblock_dilations=resblock_dilations,
            speaker_dim=speaker_dim,
            use_f0=use_f0,
        )
        self.stft = Stft(n_fft, self.hop_length, padding="reflect")
        self.enc_q = PosteriorEncoder(
            num_bins=self.stft.num_bins,
            channels=hidden_channels,
            num_layers=posterior_layers,
            speaker_dim=speaker_dim,
        )
        self.flow = Flow(hidden_channels, speaker_dim)
        self.emb_g = nn.Embedding(num_speakers, speaker_dim)
        self.prior_table = FixedNoise(hidden_channels, seed=1)
        self.source_table = FixedNoise(self.hop_length, seed=2)

    def inference(self, content: Tensor, f0_hz: Tensor, loudness_db: Tensor, speaker_id: Tensor) -> Tensor:
        """Generate audio [B, F * hop] from content [B, F, D], f0_hz [B, F], speaker_id [B]; loudness has no effect."""
        return self._convert_with_tables(content, f0_hz, speaker_id, None)

    def forward(self, batch: VoiceBatch) -> Tensor:
        """Reconstruct the audio [B, T] of a batch by way of the prior; padding does not reach the rest."""
        return self._convert_with_tables(batch.content, batch.f0_hz, batch.speaker_id, _mask_of(batch))

    def _convert_with_tables(self, content: Tensor, f0_hz: Tensor, speaker_id: Tensor, mask: Tensor | None) -> Tensor:
        conversion = self.convert(
            content,
            f0_hz,
            speaker_id,
            prior_noise=self.prior_noise(f0_hz),
            source_noise=self.source_table(f0_hz),
            mask=mask,
        )
        return conversion.audio

    def convert(
        self,
        content: Tensor,
        f0_hz: Tensor,
        speaker_id: Tensor,
        *,
        prior_noise: Tensor,
        source_noise: Tensor,
        mask: Tensor | None = None,
    ) -> "Conversion":
        """Generate audio with given noise.

        Args:
            content: [B, F, D].
            f0_hz: [B, F], 0 in unvoiced frames.
            speaker_id: [B] int64.
            prior_noise: [B, C, F]; of a deviation of PRIOR_DEVIATION in the published code.
            source_noise: [B, F * hop] of unit variance.
            mask: [B, 1, F] with 1 in frames that are not padding, or None for no padding.
        """
        speaker = self.emb_g(speaker_id).unsqueeze(-1)
        if not self.use_f0:
            content = content + 0.0 * f0_hz.unsqueeze(-1)  # keeps the pitch an input of the exported graph
        prior = self.enc_p(content, f0_hz, mask)
        latent = self.flow.reverse(masked(prior.sample(prior_noise), mask), speaker, mask)
        return Conversion(prior, latent, self.dec(masked(latent, mask), f0_hz, speaker, source_noise))

    def training_pass(self, batch: VoiceBatch, clip_random: ClipRandom) -> TrainingPass:
        """Decode a random part of each clip from its posterior; the term "kl" ties the prior to it."""
        mask = _mask_of(batch)
        speaker = self.emb_g(batch.speaker_id).unsqueeze(-1)
        prior = self.enc_p(batch.content, batch.f0_hz, mask)
        posterior = self.enc_q(self.spectrogram(batch.audio), speaker, mask)
        noise = clip_random.normal(*posterior.mean.shape[1:]).to(mask.device)
        latent = masked(posterior.sample(noise), mask)
        terms = {"kl": kl_divergence(self.flow(latent, speaker, mask), posterior.log_std, prior, mask)}
        frames = random_stretches(batch, self.training_frames, clip_random)
        count = frames.shape[1]
        source_noise = clip_random.normal(count * self.hop_length).to(mask.device)
        part = latent.gather(2, frames.unsqueeze(1).expand(-1, latent.shape[1], -1))
        audio = self.dec(part, batch.f0_hz.gather(1, frames), speaker, source_noise)
        by_frame = batch.audio.reshape(len(frames), -1, self.hop_length)
        target = by_frame.gather(1, frames.unsqueeze(-1).expand(-1, -1, self.hop_length)).flatten(1)
        return TrainingPass(audio, target, terms)

    def encode_audio(self, audio: Tensor, speaker_id: Tensor, mask: Tensor | None = None) -> Gaussian:
        """Return the posterior of audio [B, F * hop] spoken by speaker_id [B]."""
        posterior: Gaussian = self.enc_q(self.spectrogram(audio), self.emb_g(speaker_id).unsqueeze(-1), mask)
        return posterior

    def spectrogram(self, audio: Tensor) -> Tensor:
        """Return the magnitudes [B, n_fft/2+1, F] of audio [B, F * hop] that the posterior reads."""
        with torch.autocast(audio.device.type, enabled=False):
            return self.stft.magnitude(audio.float(), PUBLISHED_OFFSET)

    def prior_noise(self, like: Tensor) -> Tensor:
        """Return the noise [B, C, F] of a conversion of frames [B, F]."""
        noise = self.prior_table(like).reshape(like.shape[0], -1, self.hidden_channels)
        scaled: Tensor = PRIOR_DEVIATION * noise.transpose(1, 2)
        return scaled

    def parts_to_compile(self) -> list[nn.Module]:
        """Return the four networks that training_pass calls."""
        return [self.enc_p, self.enc_q, self.flow, self.dec]


class Conversion(NamedTuple):
    """What a conversion passes: prior, latent [B, C, F] of the decoder, audio [B, F * hop]."""

    prior: Gaussian
    latent: Tensor
    audio: Tensor


def kl_divergence(latent: Tensor, log_std: Tensor, prior: Gaussian, mask: Tensor) -> Tensor:
    """Return what the posterior costs against the prior, per frame that is not padding (Eq. 4, Kim et al. 2021).

    It is a mean over clips of each clip's mean; the published code takes one mean over the frames of the batch, which
    is the same where no clip is padded.

    Args:
        latent: [B, C, F], sampled from the posterior and mapped to the prior's space.
        log_std: [B, C, F] of the posterior; the flow keeps volumes.
        prior: of the same frames.
        mask: [B, 1, F].
    """
    mean, prior_log_std = prior.mean.float(), prior.log_std.float()
    distance = 0.5 * (latent.float() - mean).square() * torch.exp(-2.0 * prior_log_std)
    cost = prior_log_std - log_std.float() - 0.5 + distance
    return ((cost * mask).sum(dim=(1, 2)) / mask.sum(dim=(1, 2))).mean()


def random_stretches(batch: VoiceBatch, count: int, clip_random: ClipRandom) -> Tensor:
    """Choose a stretch of each clip at random, before its padding where the clip is long enough.

    Returns:
        [B, min(count, F)] int64, numbers of frames.
    """
    count = min(count, batch.f0_hz.shape[1])
    free = (batch.num_frames - count).clamp(min=0)
    chosen = clip_random.uniform().to(free.device)
    first = torch.floor(chosen * (free + 1)).to(torch.int64).minimum(free)
    return first.unsqueeze(1) + torch.arange(count, device=free.device)


def _mask_of(batch: VoiceBatch) -> Tensor:
    frames = torch.arange(batch.f0_hz.shape[1], device=batch.f0_hz.device)
    return (frames < batch.num_frames.unsqueeze(1)).unsqueeze(1).to(torch.float32)


def _check_stages(hop_length: int, rates: Sequence[int], kernel_sizes: Sequence[int]) -> None:
    if math.prod(rates) != hop_length:
        raise ConfigError(
            f"model.upsample_rates={list(rates)} make {math.prod(rates)} samples of a frame, audio.hop_length is "
            f"{hop_length}; choose the audio group of this model, for example experiment=rvc_v2_48k"
        )
    excess = [kernel - rate for rate, kernel in zip(rates, kernel_sizes, strict=False)]
    if len(rates) != len(kernel_sizes) or any(value < 0 or value % 2 for value in excess):
        raise ConfigError(
            f"model.upsample_kernel_sizes={list(kernel_sizes)} do not suit model.upsample_rates={list(rates)}; "
            "give one per rate, larger than its rate by an even number"
        )


def _check_training_frames(hop_length: int, frames: int, n_fft: int) -> None:
    if frames * hop_length <= n_fft:
        raise ConfigError(
            f"model.training_frames={frames} are fewer samples than audio.n_fft={n_fft}; "
            f"give at least {n_fft // hop_length + 1}"
        )
