"""Spectral losses; all in fp32 on the one definition of the short-time transform."""

from collections.abc import Sequence

import librosa
import torch
from torch import Tensor, nn

from utils.audio.spectral import LOG_FLOOR, PUBLISHED_OFFSET, LogMelSpectrogram
from utils.config import AudioConfig

SOVITS_HOP = 512  # samples between the frames of So-VITS-SVC
VITS_RATE, VITS_HOP, VITS_N_FFT = 22050, 256, 1024  # that VITS has inside, whatever the audio group says


class MultiResolutionMelLoss(nn.Module):
    """Mean absolute difference of log-mel spectrograms at several resolutions (as in DAC, Kumar et al. 2023).

    Args:
        sample_rate: samples per second of the audio.
        windows: n_fft of each resolution; the hop is a quarter of it.
        bands: mel bands of each resolution.
    """

    def __init__(
        self,
        *,
        sample_rate: int,
        windows: Sequence[int] = (2048, 1024, 512, 256, 128),
        bands: Sequence[int] = (160, 100, 60, 40, 20),
    ) -> None:
        super().__init__()
        self.parts = nn.ModuleList(
            LogMelSpectrogram(
                sample_rate=sample_rate,
                n_fft=window,
                hop_length=window // 4,
                n_mels=count,
                f_min=0.0,
                f_max=sample_rate / 2,
            )
            for window, count in zip(windows, bands, strict=True)
        )

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        """Return a scalar for audio [B, T] and [B, T]."""
        total = torch.zeros((), device=fake.device)
        with torch.autocast(fake.device.type, enabled=False):
            for part in self.parts:
                hop = part.stft.hop_length  # type: ignore[union-attr]
                length = fake.shape[1] // hop * hop  # type: ignore[operator]
                with torch.no_grad():
                    target = part(real[:, :length].float())
                total = total + (part(fake[:, :length].float()) - target).abs().mean()
        return total / len(self.parts)


class PublishedMelLoss(nn.Module):
    """Mean absolute difference of log-mel spectrograms with the settings of the audio group, as RVC is trained.

    The audio is padded with its mirror image, and the target is the spectrogram of the segment alone. RVC-WebUI cuts
    the target out of the whole clip's spectrogram, whose first and last frames see more.

    Args:
        audio: rate and analysis.
        hop_length: samples between frames; None for that of the audio group.
    """

    def __init__(self, audio: AudioConfig, hop_length: int | None = None) -> None:
        super().__init__()
        self.mel = LogMelSpectrogram.of_audio(audio, padding="reflect", offset=PUBLISHED_OFFSET, hop_length=hop_length)

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        """Return a scalar for audio [B, T] and [B, T]; T is more than (n_fft - hop_length) / 2."""
        with torch.autocast(fake.device.type, enabled=False):
            with torch.no_grad():
                target = self.mel(real.float())
            return (self.mel(fake.float()) - target).abs().mean()


class SummedMelLoss(nn.Module):
    """Sum of the mean absolute log10-mel differences at seven resolutions, as Applio trains RefineGAN.

    Each window has a hop of its quarter, and frames are centred on the multiples of the hop.

    Args:
        sample_rate: samples per second of the audio.
    """

    WINDOWS, BANDS = (32, 64, 128, 256, 512, 1024, 2048), (5, 10, 20, 40, 80, 160, 320)

    def __init__(self, sample_rate: int) -> None:
        super().__init__()
        for window, count in zip(self.WINDOWS, self.BANDS, strict=True):
            bands = librosa.filters.mel(sr=sample_rate, n_fft=window, n_mels=count)
            self.register_buffer(f"bands_{window}", torch.from_numpy(bands), persistent=False)
            self.register_buffer(f"window_{window}", torch.hann_window(window), persistent=False)

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        """Return a scalar for audio [B, T] and [B, T]; T is more than 1024."""
        total = torch.zeros((), device=fake.device)
        with torch.autocast(fake.device.type, enabled=False):
            for window in self.WINDOWS:
                with torch.no_grad():
                    target = self._log_mel(real.float(), window)
                total = total + (self._log_mel(fake.float(), window) - target).abs().mean()
        return total

    def _log_mel(self, audio: Tensor, window: int) -> Tensor:
        shape: Tensor = getattr(self, f"window_{window}")
        spectrum = torch.stft(audio, window, window // 4, window=shape, center=True, return_complex=True)
        power = spectrum.real.square() + spectrum.imag.square()
        mel = torch.matmul(getattr(self, f"bands_{window}"), torch.sqrt(power + PUBLISHED_OFFSET))
        return torch.log10(torch.clamp(mel, min=LOG_FLOOR))


class MelDistance(nn.Module):
    """Mean absolute log-mel difference of each clip, with the settings of the audio group: the validation criterion."""

    def __init__(self, audio: AudioConfig) -> None:
        super().__init__()
        self.mel = LogMelSpectrogram.of_audio(audio)

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        """Return [B] for audio [B, T] and [B, T]."""
        with torch.autocast(fake.device.type, enabled=False):
            return (self.mel(fake.float()) - self.mel(real.float())).abs().mean(dim=(1, 2))


def build_spectral_loss(objective: str, audio: AudioConfig, *, longest: int = 2048) -> nn.Module:
    """Return the spectral loss that belongs to an objective.

    Args:
        objective: see AdversarialLosses.
        audio: rate and analysis.
        longest: of "balanced": window of the first of five resolutions in samples; each further one has half.
    """
    if objective == "refinegan":
        return SummedMelLoss(audio.sample_rate)
    if objective == "vits":
        own = {"sample_rate": VITS_RATE, "hop_length": VITS_HOP, "n_fft": VITS_N_FFT, "f_max": VITS_RATE / 2}
        return PublishedMelLoss(audio.model_copy(update=own))
    if objective == "sovits":
        return PublishedMelLoss(audio, SOVITS_HOP)
    if objective == "hifigan":
        return PublishedMelLoss(audio)
    windows = [longest >> halvings for halvings in range(5)]
    return MultiResolutionMelLoss(sample_rate=audio.sample_rate, windows=windows)
