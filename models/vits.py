"""VITS as a voice converter (Kim et al. 2021): speech loses its speaker in the flow and comes back as another's.

Names and shapes of the parameters are those of the published checkpoints, less what reads and times text. It has frames
of 256 samples at 22050 Hz; audio comes and goes here at twice that rate, which has 100 frames a second.
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from models.base import BaseVoiceConversionModel, TrainingPass
from models.clip_random import ClipRandom
from models.layers.rvc_decoder import HifiGanDecoder
from models.layers.rvc_encoders import Flow, Gaussian, PosteriorEncoder, masked
from models.rvc import kl_divergence
from utils.audio.batch import VoiceBatch
from utils.audio.frames import FRAME_RATE
from utils.audio.resample import RationalResampler
from utils.audio.reshaping import reshape
from utils.audio.spectral import PUBLISHED_OFFSET, Stft
from utils.errors import ConfigError

SAMPLE_RATE, OWN_RATE = 44100, 22050
NUM_COUPLINGS, FLOW_LAYERS = 4, 4
BLOCK_KERNELS, DILATIONS = (3, 7, 11), (1, 3, 5)  # of the residual blocks of a stage, in every published file
END_FRAMES = 4  # of silence behind a recording: its mirror image never reaches past the recording's beginning


class VitsConversion(NamedTuple):
    """What a conversion goes through: the posterior of the source, its latent without a speaker and with the target."""

    posterior: Gaussian
    free: Tensor
    latent: Tensor
    audio: Tensor


class VitsVoice(BaseVoiceConversionModel):
    """VITS between the speakers of its training.

    The posterior's mean is converted, so a conversion has no random numbers. Without a text to go by, training ties
    the latent to a standard normal distribution instead of the text's.

    Args:
        sample_rate: 44100.
        n_fft: window of the posterior's linear spectrogram in samples at 22050 Hz.
        content_dim: has no effect: the network reads the audio itself.
        num_speakers: S.
        upsample_rates: factor of each stage of the decoder; their product is the hop.
        upsample_kernel_sizes: kernel of each stage.
        training_frames: frames of each clip that are decoded in training.
        keeps_latent: whether training leaves posterior, flow and speakers as they are, and changes the decoder alone.
        hidden_channels: C, width of the latent and of the encoders.
        posterior_layers: convolutions of the posterior.
        upsample_channels: width of the decoder before its first stage.
        speaker_dim: size of a speaker's embedding.
    Raises:
        ConfigError: if the rate is another.
    """

    forms: ClassVar[dict[str, str]] = {"graph": "models.export_forms.vits.vits_in_graph"}
    training_terms = ("kl",)
    needs_context = True
    reads_audio = True
    use_f0 = False

    def __init__(
        self,
        *,
        sample_rate: int,
        n_fft: int,
        content_dim: int,
        num_speakers: int,
        upsample_rates: Sequence[int],
        upsample_kernel_sizes: Sequence[int],
        training_frames: int,
        keeps_latent: bool,
        hidden_channels: int = 192,
        posterior_layers: int = 16,
        upsample_channels: int = 512,
        speaker_dim: int = 256,
    ) -> None:
        if sample_rate != SAMPLE_RATE:
            raise ConfigError(f"model.sample_rate={sample_rate}: VITS has {OWN_RATE} Hz inside; choose audio=vits")
        hop_length = sample_rate // FRAME_RATE
        super().__init__(sample_rate=sample_rate, content_dim=hop_length, num_speakers=num_speakers)
        self.training_frames, self.keeps_latent = training_frames, keeps_latent
        self.own_hop = math.prod(upsample_rates)
        shared: dict[str, Any] = {"channels": hidden_channels, "speaker_dim": speaker_dim}
        self.emb_g = nn.Embedding(num_speakers, speaker_dim)
        self.dec = HifiGanDecoder(
            **shared,
            sample_rate=OWN_RATE,
            upsample_rates=upsample_rates,
            upsample_kernel_sizes=upsample_kernel_sizes,
            upsample_channels=upsample_channels,
            resblock_kernel_sizes=BLOCK_KERNELS,
            resblock_dilations=[DILATIONS] * len(BLOCK_KERNELS),
            use_f0=False,
        )
        self.stft = Stft(n_fft, self.own_hop, padding="reflect")
        self.enc_q = PosteriorEncoder(**shared, num_bins=self.stft.num_bins, num_layers=posterior_layers)
        self.flow = Flow(**shared, num_couplings=NUM_COUPLINGS, num_layers=FLOW_LAYERS)
        # a frame of this network in place of 10 ms: only the ratio of the rates counts
        low, high = FRAME_RATE * self.own_hop, SAMPLE_RATE // OWN_RATE * FRAME_RATE * self.own_hop
        self.to_own, self.from_own = RationalResampler(high, low), RationalResampler(low, high)

    @property
    def special_controls(self) -> tuple[str, ...]:
        """See the base class."""
        return ("source_id",)

    def inference(
        self,
        content: Tensor,
        f0_hz: Tensor,
        loudness_db: Tensor,
        speaker_id: Tensor,
        *,
        source_id: Tensor | None = None,
    ) -> Tensor:
        """Convert speech.

        Args:
            content: [B, F, hop_length], the audio itself.
            f0_hz: [B, F]; it has no effect.
            loudness_db: [B, F]; it has no effect.
            speaker_id: [B] int64, who shall speak.
            source_id: scalar int64, who speaks; None: the same as shall speak, which gives the speech back.
        Returns:
            [B, F * hop_length].
        """
        given = content + 0.0 * f0_hz.unsqueeze(-1)  # keeps the pitch an input of the exported graph
        audio = reshape(given, 0, -1)
        source = speaker_id if source_id is None else source_id + 0 * speaker_id
        own: Tensor = self.from_own(self.convert(self.spectrogram(self.own_audio(audio)), source, speaker_id).audio)
        return own[:, : audio.shape[1]]

    def convert(self, spectrogram: Tensor, source_id: Tensor, speaker_id: Tensor) -> VitsConversion:
        """Generate audio at 22050 Hz.

        Args:
            spectrogram: [B, n_fft/2+1, T] magnitudes of the source.
            source_id: [B] int64, who speaks.
            speaker_id: [B] int64, who shall speak.
        """
        source, target = (self.emb_g(number).unsqueeze(-1) for number in (source_id, speaker_id))
        posterior = self.enc_q(spectrogram, source)
        free = self.flow(posterior.mean, source)
        latent = self.flow.reverse(free, target)
        return VitsConversion(posterior, free, latent, self.decode(latent, target))

    def decode(self, latent: Tensor, speaker: Tensor) -> Tensor:
        """Return audio [B, T * own_hop] at 22050 Hz of a latent [B, C, T] and a speaker [B, E, 1]."""
        audio: Tensor = self.dec(latent, latent[:, 0], speaker, latent[:, 0])  # it has no source to make
        return audio

    def own_audio(self, audio: Tensor) -> Tensor:
        """Return whole frames at 22050 Hz of audio [B, T], with some silence at the end."""
        hop = SAMPLE_RATE // OWN_RATE * self.own_hop
        padded = functional.pad(audio, (0, END_FRAMES * hop))
        own: Tensor = self.to_own(padded[:, : padded.shape[1] // hop * hop])
        return own

    def spectrogram(self, audio: Tensor) -> Tensor:
        """Return the magnitudes [B, n_fft/2+1, T] of audio [B, T * own_hop] at 22050 Hz."""
        with torch.autocast(audio.device.type, enabled=False):
            return self.stft.magnitude(audio.float(), PUBLISHED_OFFSET)

    def training_pass(self, batch: VoiceBatch, clip_random: ClipRandom) -> TrainingPass:
        """Decode a random part of each clip at 22050 Hz; "kl" ties the latent without a speaker to a normal one."""
        with torch.autocast(batch.audio.device.type, enabled=False):
            audio = self.own_audio(batch.audio)
        spectrogram = self.spectrogram(audio)
        counts = (batch.num_frames * self.hop_length * OWN_RATE // SAMPLE_RATE // self.own_hop).clamp(min=1)
        picked = self._random_stretch(counts, clip_random)  # first, so that padding does not change it
        steps = torch.arange(spectrogram.shape[2], device=counts.device)
        mask = (steps < counts.unsqueeze(1)).unsqueeze(1).float()
        speaker = self.emb_g(batch.speaker_id).unsqueeze(-1)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.keeps_latent):
            posterior = self.enc_q(spectrogram, speaker, mask)
            latent = masked(posterior.sample(clip_random.normal(*posterior.mean.shape[1:]).to(mask.device)), mask)
            normal = Gaussian(torch.zeros_like(latent), torch.zeros_like(latent))
            kl = kl_divergence(self.flow(latent, speaker, mask), posterior.log_std, normal, mask)
        part = latent.gather(2, picked.unsqueeze(1).expand(-1, latent.shape[1], -1))
        by_frame = audio.reshape(len(audio), -1, self.own_hop)
        target = by_frame.gather(1, picked.unsqueeze(-1).expand(-1, -1, self.own_hop)).flatten(1)
        return TrainingPass(self.decode(part, speaker.detach() if self.keeps_latent else speaker), target, {"kl": kl})

    def _random_stretch(self, counts: Tensor, clip_random: ClipRandom) -> Tensor:
        """Return [B, training_frames] int64, a stretch of each clip of so many frames, chosen at random."""
        length = min(self.training_frames, int(counts.max()))
        free = (counts - length).clamp(min=0)
        first = torch.floor(clip_random.uniform().to(free.device) * (free + 1)).to(torch.int64).minimum(free)
        return first.unsqueeze(1) + torch.arange(length, device=free.device)

    def parts_to_compile(self) -> list[nn.Module]:
        """Return the networks that training_pass calls."""
        return [self.enc_q, self.flow, self.dec]
