"""So-VITS-SVC 4.0 and 4.1: VITS (Kim et al. 2021) on content features, told pitch, voicing and, if wanted, volume.

Names and shapes of the parameters are those of the published checkpoints. It has frames of 512 samples at 44100 Hz;
models/layers/sovits_frames.py makes them of ours. What is random in the published code is an argument here: per-clip
random numbers in training, a fixed table in a conversion.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from models.base import BaseVoiceConversionModel, TrainingPass
from models.clip_random import ClipRandom
from models.layers.excitation import FixedNoise
from models.layers.rvc_encoders import Flow, Gaussian, PosteriorEncoder, WaveNet, masked
from models.layers.sovits_decoder import SovitsDecoder
from models.layers.sovits_encoders import (
    Bins,
    CausalTransformer,
    PitchDecoder,
    SovitsPrior,
    f0_of_log,
    log_f0,
    relative_log_f0,
)
from models.layers.sovits_frames import OwnFrames, frame_volume, own_frames, padding_mask
from models.rvc import Conversion, kl_divergence
from utils.audio.batch import VoiceBatch
from utils.audio.spectral import PUBLISHED_OFFSET, Stft
from utils.errors import ConfigError

PRIOR_DEVIATION = 0.4  # share of the prior's deviation that the noise of a conversion has: the published command's
SAMPLE_RATE = 44100
NUM_COUPLINGS = 4


class SovitsModel(BaseVoiceConversionModel):
    """So-VITS-SVC's generator.

    Args:
        sample_rate: 44100.
        n_fft: window of the posterior's linear spectrogram in samples.
        content_dim: D; 256 (layer 9, projected) or 768 (layer 12) as published.
        num_speakers: S.
        bins: how pitch is quantised, "4.0" or "4.1".
        use_volume: whether the voice is told the volume ("vol_embedding").
        predicts_f0: whether it has a pitch decoder ("use_automatic_f0_prediction").
        automatic_f0: whether a conversion uses the predicted pitch, as for speech, in place of the source's.
        use_snakes: whether the decoder's activations are snakes ("nsf-snake-hifigan").
        shares_flow: whether the couplings share their WaveNet ("flow_share_parameter").
        transformer_flow: whether the couplings have causal transformers ("use_transformer_flow").
        is_separable: whether the WaveNets' convolutions are separable ("use_depthwise_conv").
        upsample_rates: factor of each stage of the decoder; their product is the hop.
        upsample_kernel_sizes: kernel of each stage.
        training_frames: frames of each clip that are decoded in training.
        hidden_channels: C, width of the latent and of the encoders.
        filter_channels: width inside the feed-forward blocks.
        num_heads: attention heads.
        num_layers: blocks of prior and pitch decoder.
        kernel_size: frames seen by a feed-forward convolution of the prior.
        posterior_layers: convolutions of the posterior.
        flow_layers: convolutions of a coupling's WaveNet; couplings of a transformer flow.
        flow_blocks: blocks of a transformer in a coupling.
        upsample_channels: width of the decoder before its first stage.
        speaker_dim: size of a speaker's embedding.
    Raises:
        ConfigError: if the rate is another, or the pitch shall be predicted without a decoder for it.
    """

    forms: ClassVar[dict[str, str]] = {"graph": "models.export_forms.sovits.sovits_in_graph"}
    training_terms = ("kl", "pitch")
    needs_context = True  # content and pitch are stretched over a whole clip

    def __init__(
        self,
        *,
        sample_rate: int,
        n_fft: int,
        content_dim: int,
        num_speakers: int,
        bins: Bins,
        use_volume: bool,
        predicts_f0: bool,
        automatic_f0: bool,
        use_snakes: bool,
        shares_flow: bool,
        transformer_flow: bool,
        is_separable: bool,
        upsample_rates: Sequence[int],
        upsample_kernel_sizes: Sequence[int],
        training_frames: int,
        hidden_channels: int = 192,
        filter_channels: int = 768,
        num_heads: int = 2,
        num_layers: int = 6,
        kernel_size: int = 3,
        posterior_layers: int = 16,
        flow_layers: int = 4,
        flow_blocks: int = 3,
        upsample_channels: int = 512,
        speaker_dim: int = 768,
    ) -> None:
        super().__init__(sample_rate=sample_rate, content_dim=content_dim, num_speakers=num_speakers)
        _check(sample_rate, predicts_f0, automatic_f0)
        self.training_frames, self.automatic_f0 = training_frames, automatic_f0
        self.own_hop, self.hidden_channels = math.prod(upsample_rates), hidden_channels
        sizes = {"channels": hidden_channels, "filter_channels": filter_channels, "num_heads": num_heads}
        self.emb_g = nn.Embedding(num_speakers, speaker_dim)
        self.emb_vol = nn.Linear(1, hidden_channels) if use_volume else None
        self.pre = nn.Conv1d(content_dim, hidden_channels, 5, padding=2)
        self.enc_p = SovitsPrior(**sizes, num_layers=num_layers, kernel_size=kernel_size, bins=bins)
        shared = {"channels": hidden_channels, "speaker_dim": speaker_dim}
        self.dec = SovitsDecoder(
            **shared,
            sample_rate=sample_rate,
            upsample_rates=upsample_rates,
            upsample_kernel_sizes=upsample_kernel_sizes,
            upsample_channels=upsample_channels,
            use_snakes=use_snakes,
        )
        self.stft = Stft(n_fft, self.own_hop, padding="reflect")
        self.enc_q = PosteriorEncoder(
            **shared, num_bins=self.stft.num_bins, num_layers=posterior_layers, is_separable=is_separable
        )
        make: Callable[[], nn.Module] = partial(WaveNet, **shared, num_layers=flow_layers, is_separable=is_separable)
        if transformer_flow:
            make = partial(CausalTransformer, **sizes, num_layers=flow_blocks, kernel_size=5, speaker_dim=speaker_dim)
        num_couplings = flow_layers if transformer_flow else NUM_COUPLINGS
        self.flow = Flow(**shared, num_couplings=num_couplings, make_encoder=make, is_shared=shares_flow)
        pitch = {**sizes, "num_layers": num_layers, "kernel_size": kernel_size, "speaker_dim": speaker_dim}
        self.f0_decoder = PitchDecoder(**pitch) if predicts_f0 else None
        self.emb_uv = nn.Embedding(2, hidden_channels)
        self.prior_table, self.source_table = FixedNoise(hidden_channels, seed=1), FixedNoise(self.own_hop, seed=2)

    @property
    def special_controls(self) -> tuple[str, ...]:
        """See the base class."""
        return () if self.f0_decoder is None else ("automatic_f0",)

    def inference(
        self,
        content: Tensor,
        f0_hz: Tensor,
        loudness_db: Tensor,
        speaker_id: Tensor,
        *,
        automatic_f0: Tensor | None = None,
    ) -> Tensor:
        """Generate audio [B, F * hop] from content [B, F, D], f0_hz [B, F], loudness_db [B, F], speaker_id [B].

        Whether the predicted pitch is used says automatic_f0, a scalar; None: as the model was made.
        """
        num_frames = torch.ones_like(f0_hz, dtype=torch.int64).sum(dim=1)
        frames = self._own_frames(content, f0_hz, loudness_db, num_frames)._replace(mask=None)
        return self._as_long_as(f0_hz, self._convert_with_tables(frames, speaker_id, automatic_f0))

    def forward(self, batch: VoiceBatch) -> Tensor:
        """Reconstruct the audio [B, T] of a batch by way of the prior; padding does not reach the rest."""
        frames, _ = self._of_batch(batch)
        return self._as_long_as(batch.f0_hz, self._convert_with_tables(frames, batch.speaker_id))

    def _own_frames(self, content: Tensor, f0_hz: Tensor, loudness_db: Tensor, num_frames: Tensor) -> OwnFrames:
        return own_frames(content, f0_hz, loudness_db, num_frames, hop_length=self.hop_length, own_hop=self.own_hop)

    def _of_batch(self, batch: VoiceBatch) -> tuple[OwnFrames, Tensor]:
        """Return features and audio [B, T * own_hop] of a batch."""
        frames = self._own_frames(batch.content, batch.f0_hz, batch.loudness_db, batch.num_frames)
        samples = frames.f0_hz.shape[1] * self.own_hop
        audio = functional.pad(batch.audio, (0, max(0, samples - batch.audio.shape[1])))[:, :samples]
        volume = frame_volume(audio, self.own_hop) * padding_mask(frames).squeeze(1)
        return frames._replace(volume=volume), audio

    def _as_long_as(self, f0_hz: Tensor, audio: Tensor) -> Tensor:
        """Cut or fill up audio, which has less than a frame of So-VITS-SVC too few samples, to [B, F * hop]."""
        samples = torch.ones_like(f0_hz[0], dtype=torch.int64).sum() * self.hop_length
        return functional.pad(audio, (0, self.own_hop))[:, :samples]

    def _convert_with_tables(self, frames: OwnFrames, speaker_id: Tensor, automatic_f0: Tensor | None = None) -> Tensor:
        prior_noise = self.prior_table(frames.f0_hz).reshape(frames.f0_hz.shape[0], -1, self.hidden_channels)
        conversion = self.convert(
            frames,
            speaker_id,
            prior_noise=PRIOR_DEVIATION * prior_noise.transpose(1, 2),
            source_noise=self.source_table(frames.f0_hz),
            automatic_f0=automatic_f0,
        )
        return conversion.audio

    def convert(
        self,
        frames: OwnFrames,
        speaker_id: Tensor,
        *,
        prior_noise: Tensor,
        source_noise: Tensor,
        automatic_f0: Tensor | None = None,
    ) -> Conversion:
        """Generate audio with given noise.

        Args:
            frames: features of T frames.
            speaker_id: [B] int64.
            prior_noise: [B, C, T]; of a deviation of PRIOR_DEVIATION in the published command.
            source_noise: [B, T * hop] of unit variance.
            automatic_f0: see inference.
        """
        speaker, mask = self.emb_g(speaker_id).unsqueeze(-1), frames.mask
        x = self.embed(frames)
        f0_hz = frames.f0_hz
        if self.f0_decoder is not None and (self.automatic_f0 or automatic_f0 is not None):
            predicted = f0_of_log(self.predict_pitch(x, frames, speaker))
            f0_hz = predicted if automatic_f0 is None else torch.where(automatic_f0 > 0, predicted, f0_hz)
        prior = self.enc_p(x, f0_hz, mask)
        latent = self.flow.reverse(masked(prior.sample(prior_noise), mask), speaker, mask)
        return Conversion(prior, latent, self.dec(masked(latent, mask), f0_hz, speaker, source_noise))

    def embed(self, frames: OwnFrames) -> Tensor:
        """Return what content, voicing and volume say, [B, C, T]."""
        x: Tensor = masked(self.pre(frames.content.transpose(1, 2)), frames.mask)
        x = x + self.emb_uv(frames.voiced.to(torch.int64)).transpose(1, 2)
        if self.emb_vol is not None:
            x = x + self.emb_vol(frames.volume.unsqueeze(2)).transpose(1, 2)
        return x

    def predict_pitch(self, x: Tensor, frames: OwnFrames, speaker: Tensor, factor: Tensor | float = 1.0) -> Tensor:
        """Return log_f0 [B, T] as the speaker would have it, following the source's up and down.

        Args:
            x: made by embed.
            frames: of the source.
            speaker: [B, E, 1].
            factor: [B, 1] by which the source's up and down is stretched.
        """
        assert self.f0_decoder is not None
        relative = relative_log_f0(log_f0(frames.f0_hz), frames.voiced, factor)
        predicted: Tensor = self.f0_decoder(x, relative, speaker, frames.mask)
        return predicted

    def training_pass(self, batch: VoiceBatch, clip_random: ClipRandom) -> TrainingPass:
        """Decode a random part of each clip from its posterior; "kl" ties the prior to it, "pitch" is the decoder's."""
        frames, audio = self._of_batch(batch)
        mask = padding_mask(frames)
        speaker = self.emb_g(batch.speaker_id).unsqueeze(-1)
        x = self.embed(frames)
        prior = self.enc_p(x, frames.f0_hz, mask)
        posterior = self.enc_q(self.spectrogram(audio), speaker, mask)
        noise = clip_random.normal(*posterior.mean.shape[1:]).to(mask.device)
        latent = masked(posterior.sample(noise), mask)
        terms = {
            "kl": kl_divergence(self.flow(latent, speaker, mask), posterior.log_std, prior, mask),
            "pitch": self._pitch_loss(x, frames, speaker, clip_random),
        }
        picked = self._random_stretch(frames, clip_random)
        length = picked.shape[1]
        source_noise = clip_random.normal(length * self.own_hop).to(mask.device)
        part = latent.gather(2, picked.unsqueeze(1).expand(-1, latent.shape[1], -1))
        made = self.dec(part, frames.f0_hz.gather(1, picked), speaker, source_noise)
        by_frame = audio.reshape(len(audio), -1, self.own_hop)
        target = by_frame.gather(1, picked.unsqueeze(-1).expand(-1, -1, self.own_hop)).flatten(1)
        return TrainingPass(made, target, terms)

    def _pitch_loss(self, x: Tensor, frames: OwnFrames, speaker: Tensor, clip_random: ClipRandom) -> Tensor:
        """Return the squared error of the predicted pitch, a mean over clips of each one's frames without padding."""
        if self.f0_decoder is None:
            return torch.zeros((), device=x.device)
        factor = (0.8 + 0.4 * clip_random.uniform(1)).to(x.device)
        predicted = self.predict_pitch(x, frames, speaker, factor)
        mask = padding_mask(frames).squeeze(1)
        error = (predicted.float() - log_f0(frames.f0_hz)).square() * mask
        return (error.sum(dim=1) / mask.sum(dim=1)).mean()

    def _random_stretch(self, frames: OwnFrames, clip_random: ClipRandom) -> Tensor:
        """Return [B, training_frames] int64, a stretch of each clip chosen at random before its padding."""
        length = min(self.training_frames, frames.f0_hz.shape[1])
        free = (padding_mask(frames).sum(dim=(1, 2)).to(torch.int64) - length).clamp(min=0)
        chosen = clip_random.uniform().to(free.device)
        first = torch.floor(chosen * (free + 1)).to(torch.int64).minimum(free)
        return first.unsqueeze(1) + torch.arange(length, device=free.device)

    def encode_audio(self, audio: Tensor, speaker_id: Tensor) -> Gaussian:
        """Return the posterior of audio [B, T * 512] spoken by speaker_id [B]."""
        posterior: Gaussian = self.enc_q(self.spectrogram(audio), self.emb_g(speaker_id).unsqueeze(-1))
        return posterior

    def spectrogram(self, audio: Tensor) -> Tensor:
        """Return the magnitudes [B, n_fft/2+1, T] of audio [B, T * 512] that the posterior reads."""
        with torch.autocast(audio.device.type, enabled=False):
            return self.stft.magnitude(audio.float(), PUBLISHED_OFFSET)

    def parts_to_compile(self) -> list[nn.Module]:
        """Return the networks that training_pass calls."""
        parts = [self.enc_p, self.enc_q, self.flow, self.dec]
        return parts if self.f0_decoder is None else [*parts, self.f0_decoder]


def _check(sample_rate: int, predicts_f0: bool, automatic_f0: bool) -> None:
    if sample_rate != SAMPLE_RATE:
        raise ConfigError(
            f"model.sample_rate={sample_rate}: So-VITS-SVC has {SAMPLE_RATE} Hz alone; choose audio=sovits"
        )
    if automatic_f0 and not predicts_f0:
        raise ConfigError(
            "model.automatic_f0=true needs the pitch decoder of model.predicts_f0=true, which this voice has not"
        )
