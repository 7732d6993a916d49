"""Short-time spectra: one definition shared by features, losses, generators, discriminators and the exported graph."""

from typing import Literal

import librosa
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from utils.audio.fourier import FrameTransform, Framing, InverseTransform, even_factor
from utils.config import AudioConfig

LOG_FLOOR = 1e-5
PUBLISHED_OFFSET = 1e-6  # added to the power in the spectrograms of HiFi-GAN, VITS and RVC


class Stft(nn.Module):
    """Short-time Fourier transform whose frame i is centred on the samples [i * hop, (i + 1) * hop).

    T samples (a multiple of hop) give exactly T / hop frames. It is taken by FFT, fast for training; StftInGraph is the
    same for exported graphs.

    Args:
        n_fft: window and transform length in samples.
        hop_length: samples between frames; where n_fft - hop_length is odd, a frame is centred half a sample late.
        padding: what lies outside the signal: silence ("zeros") or its mirror image ("reflect", which needs
            T > (n_fft - hop_length) / 2 and has no inverse here).
    """

    def __init__(self, n_fft: int, hop_length: int, *, padding: Literal["zeros", "reflect"] = "zeros") -> None:
        super().__init__()
        if n_fft < hop_length:
            raise ValueError(f"n_fft {n_fft} must not be less than hop_length {hop_length}")
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.num_bins = n_fft // 2 + 1
        self.pad = (n_fft - hop_length) // 2
        self.pad_after = n_fft - hop_length - self.pad
        self.padding = padding
        self.pad_mode = "constant" if padding == "zeros" else "reflect"
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.window: Tensor

    def forward(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Return real and imaginary part, each [B, n_fft/2+1, F], of audio [B, T]; T is a multiple of hop_length."""
        real, imaginary = self.by_frame(audio)
        return real.transpose(1, 2), imaginary.transpose(1, 2)

    def by_frame(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Return real and imaginary part, each [B, F, n_fft/2+1], of audio [B, T]; T is a multiple of hop_length."""
        padded = functional.pad(audio, (self.pad, self.pad_after), mode=self.pad_mode)
        spectrum = torch.stft(
            padded.float(),
            self.n_fft,
            self.hop_length,
            window=self.window,
            center=False,
            return_complex=True,
        ).transpose(1, 2)
        return spectrum.real, spectrum.imag

    def power(self, audio: Tensor) -> Tensor:
        """Return the power spectrum [B, n_fft/2+1, F] of audio [B, T]."""
        real, imaginary = self.forward(audio)
        return real.square() + imaginary.square()

    def magnitude(self, audio: Tensor, offset: float) -> Tensor:
        """Return the root of the power plus an offset, [B, n_fft/2+1, F], of audio [B, T]; has a slope at silence."""
        return torch.sqrt(self.power(audio) + offset)

    def inverse(self, real: Tensor, imaginary: Tensor) -> Tensor:
        """Return audio [B, F * hop_length] from a spectrum [B, n_fft/2+1, F] by windowed overlap-add.

        The sum is divided by the overlapped squared windows, so inverse(forward(x)) == x.
        """
        return self.inverse_by_frame(real.transpose(1, 2), imaginary.transpose(1, 2))

    def inverse_by_frame(self, real: Tensor, imaginary: Tensor) -> Tensor:
        """Return audio [B, F * hop_length] from a spectrum [B, F, n_fft/2+1]; see inverse."""
        frames = torch.fft.irfft(torch.complex(real.float(), imaginary.float()), n=self.n_fft, dim=2)
        audio = self._overlap_add((frames * self.window).transpose(1, 2))
        squared = self.window.square().view(1, -1, 1).expand(1, -1, real.shape[1])
        weight = self._overlap_add(squared)
        inside = slice(self.pad, audio.shape[1] - self.pad_after)
        return audio[:, inside] / weight[:, inside].clamp(min=1e-8)

    def _overlap_add(self, frames: Tensor) -> Tensor:
        length = self.n_fft + (frames.shape[-1] - 1) * self.hop_length
        kernel, stride = (1, self.n_fft), (1, self.hop_length)
        return functional.fold(frames, (1, length), kernel_size=kernel, stride=stride)[:, 0, 0]

    def graph_form(self) -> "StftInGraph":
        """Return the same transform in operators that every version of ONNX knows."""
        return StftInGraph(self.n_fft, self.hop_length, padding=self.padding).to(self.window.device)


class StftInGraph(Stft):
    """Stft by small matrix multiplications with fixed factors."""

    def by_frame(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Return real and imaginary part, each [B, F, n_fft/2+1], of audio [B, T]."""
        framing = Framing(self.n_fft, self.hop_length)
        padded = functional.pad(audio, (self.pad, self.pad_after), mode=self.pad_mode)
        frames = framing(functional.pad(padded, (0, framing.after - self.pad_after)))
        transform = FrameTransform(self.window.unsqueeze(0), even_factor(self.n_fft)).to(audio.device)
        spectrum = transform(frames).squeeze(3).transpose(1, 2)  # [2, M, S, P]
        spectrum = spectrum.reshape(2, audio.shape[0], -1, transform.num_steps * transform.rows)[..., : self.num_bins]
        real, imaginary = spectrum.unbind(0)
        return real, imaginary

    def inverse_by_frame(self, real: Tensor, imaginary: Tensor) -> Tensor:
        """Return audio [B, F * hop_length] from a spectrum [B, F, n_fft/2+1]."""
        transform = InverseTransform(self.window, even_factor(self.n_fft)).to(real.device)
        missing = transform.rows * transform.num_steps - self.num_bins
        weighted = torch.stack([real, imaginary]) * self._mirrored()
        spectrum = functional.pad(weighted, (0, missing)).reshape(2, -1, transform.num_steps, transform.rows)
        frames = transform(spectrum.transpose(1, 2))
        rows = -(-self.n_fft // self.hop_length)
        spare = rows * self.hop_length - self.n_fft
        pieces = functional.pad(frames, (0, spare)).reshape(real.shape[0], -1, rows, self.hop_length)
        around = functional.pad(pieces, (0, 0, 0, 0, rows - 1, rows - 1))
        shifted = [around[:, rows - 1 - row : -row or None, row] for row in range(rows)]
        audio = sum(shifted[1:], shifted[0])
        # the squared windows that reach into each hop: fewer at the ends
        squared = functional.pad(self.window.square(), (0, spare)).reshape(rows, self.hop_length)
        ones = torch.ones_like(real[:1, :, :1]).transpose(1, 2)
        weight = functional.conv1d(ones, squared.flip(0).T.unsqueeze(1), padding=rows - 1).transpose(1, 2)
        return (audio / weight.clamp(min=1e-8)).flatten(1)[:, self.pad : -(self.pad_after + spare) or None]

    def _mirrored(self) -> Tensor:
        """Return [bins]: of how many bins of the whole spectrum each one tells."""
        counts = torch.full((self.num_bins,), 2.0, device=self.window.device)
        counts[0] = counts[-1] = 1.0
        return counts


class LogMelSpectrogram(nn.Module):
    """Natural logarithm of mel-band magnitudes, Slaney scale and area normalisation.

    Args:
        sample_rate: samples per second of the audio.
        n_fft: window in samples.
        hop_length: samples between frames.
        n_mels: number of bands between f_min and f_max.
        f_min: lowest frequency in Hz.
        f_max: highest frequency in Hz.
        padding: see Stft.
        offset: added to the power before its root.
    """

    def __init__(
        self,
        *,
        sample_rate: int,
        n_fft: int,
        hop_length: int,
        n_mels: int,
        f_min: float,
        f_max: float,
        padding: Literal["zeros", "reflect"] = "zeros",
        offset: float = 1e-9,
    ) -> None:
        super().__init__()
        self.stft = Stft(n_fft, hop_length, padding=padding)
        self.offset = offset
        bands = librosa.filters.mel(sr=sample_rate, n_fft=n_fft, n_mels=n_mels, fmin=f_min, fmax=f_max)
        self.register_buffer("bands", torch.from_numpy(bands), persistent=False)
        self.bands: Tensor

    @classmethod
    def of_audio(
        cls,
        audio: AudioConfig,
        *,
        padding: Literal["zeros", "reflect"] = "zeros",
        offset: float = 1e-9,
        hop_length: int | None = None,
    ) -> "LogMelSpectrogram":
        """Return the analysis that the audio group describes, with another hop where one is given."""
        return cls(
            sample_rate=audio.sample_rate,
            n_fft=audio.n_fft,
            hop_length=hop_length or audio.hop_length,
            n_mels=audio.n_mels,
            f_min=audio.f_min,
            f_max=audio.f_max,
            padding=padding,
            offset=offset,
        )

    def forward(self, audio: Tensor) -> Tensor:
        """Return [B, n_mels, F] from audio [B, T]; silence gives log(1e-5)."""
        magnitude = self.stft.magnitude(audio.float(), self.offset)
        return torch.log(torch.clamp(torch.matmul(self.bands, magnitude), min=LOG_FLOOR))


def extract_mel_spectrogram(audio: Tensor, audio_config: AudioConfig) -> Tensor:
    """Return the log-mel spectrogram [B, n_mels, F] of audio [B, T] with the settings of the audio group.

    T is padded with zeros to a multiple of the hop; F = ceil(T / hop_length).
    """
    missing = audio_config.frames_for(audio.shape[-1]) * audio_config.hop_length - audio.shape[-1]
    analysis = LogMelSpectrogram.of_audio(audio_config).to(audio.device)
    mel: Tensor = analysis(functional.pad(audio, (0, missing)))
    return mel
