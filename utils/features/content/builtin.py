"""The workbench's own content encoder: a small ConvNeXt network distilled from a speech recogniser's encoder."""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as functional
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from models.layers.convnext import ConvNeXtBlock
from utils.audio.spectral import Stft
from utils.errors import ConfigError
from utils.features.content.base import ContentEncoder, double_frame_rate, normalize_content
from utils.files import sha256_of_file

WEIGHTS_FOLDER = Path(__file__).resolve().parents[1] / "weights"
N_FFT = 512
NUM_MELS = 80
ARTICULATION_RANGE = 1e-3  # power below a frame's mean band that is still told apart: 30 dB


class ContentNetwork(nn.Module):
    """Log-mel to features at half the frame rate.

    Args:
        channels: width of the blocks.
        num_blocks: number of ConvNeXt blocks.
        kernel_size: frames (20 ms each) seen by each block.
        dim: size of the output vectors.
    """

    def __init__(self, *, channels: int, num_blocks: int, kernel_size: int, dim: int) -> None:
        super().__init__()
        self.stem = nn.Conv1d(NUM_MELS, channels, 6, stride=2, padding=2)
        self.norm_in = nn.LayerNorm(channels)
        self.blocks = nn.ModuleList(ConvNeXtBlock(channels, kernel_size=kernel_size) for _ in range(num_blocks))
        self.norm_out = nn.LayerNorm(channels)
        self.head = nn.Linear(channels, dim)

    def hidden(self, mel: Tensor) -> Tensor:
        """Return [B, F/2, channels] from log-mel [B, 80, F]; F is even."""
        x = self.norm_in(self.stem(mel).transpose(1, 2)).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        return self.norm_out(x.transpose(1, 2))

    def forward(self, mel: Tensor) -> Tensor:
        """Return [B, F/2, dim] from log-mel [B, 80, F]; F is even."""
        return self.head(self.hidden(mel))


class LogMelFront(nn.Module):
    """Natural logarithm of mel-band powers (Slaney bands, 0-8000 Hz) of 16 kHz audio, 100 frames a second."""

    def __init__(self) -> None:
        super().__init__()
        import librosa

        self.stft = Stft(N_FFT, 160)
        bands = librosa.filters.mel(sr=16000, n_fft=N_FFT, n_mels=NUM_MELS, fmin=0, fmax=8000)
        self.register_buffer("bands", torch.from_numpy(bands), persistent=False)
        self.bands: Tensor

    def forward(self, audio: Tensor) -> Tensor:
        """Return [B, 80, F] from audio [B, F * 160]; silence gives log(1e-6)."""
        return torch.log(torch.matmul(self.bands, self.stft.power(audio)) + 1e-6)


class BuiltinContent(ContentEncoder):
    """Our encoder with shipped weights: phonetic features of the network and, beside them, articulation bands.

    The network's output says which sound is spoken but blurs short consonants; the articulation bands (see
    `articulation`) restore bursts and friction at the full frame rate. Their number is in the weights' metadata.

    Args:
        weights: name of a file in utils/features/weights, or a path of one's own.
    """

    def __init__(self, *, weights: str = "content_builtin.safetensors") -> None:
        super().__init__()
        self.path = WEIGHTS_FOLDER / weights if not Path(weights).is_file() else Path(weights)
        metadata, tensors = read_weights(self.path)
        try:
            sizes = {key: int(metadata[key]) for key in ("channels", "num_blocks", "kernel_size", "dim")}
            self.num_bands = int(metadata.get("articulation_bands", 0))  # version 1 had none
            self.version = metadata["version"]
            self.network = ContentNetwork(**sizes)
            self.network.load_state_dict({key: value.float() for key, value in tensors.items()})
        except (KeyError, ValueError, RuntimeError) as error:
            raise _damaged(self.path, error) from error
        if self.num_bands and NUM_MELS % self.num_bands:
            raise _damaged(self.path, ValueError(f"articulation_bands={self.num_bands} does not divide {NUM_MELS}"))
        self.dim = sizes["dim"] + self.num_bands
        self.front = LogMelFront()
        self.requires_grad_(False)
        self.eval()
        self.sha256 = sha256_of_file(self.path)

    @property
    def identity(self) -> dict[str, Any]:
        """Plain data that names the encoder, its weights' hash and D."""
        return {"id": "builtin", "version": self.version, "weights_sha256": self.sha256, "dim": self.dim}

    def forward(self, audio: Tensor) -> Tensor:
        """Return features [B, F, D] of audio [B, F * 160] at 16 kHz."""
        # two frames of silence at the end make every F even; the surplus is cut off again
        mel = self.front(functional.pad(audio, (0, 320)))
        frames = mel.shape[-1] - 2
        even = mel[:, :, : (mel.shape[-1] // 2) * 2]
        features = normalize_content(double_frame_rate(normalize_content(self.network(even))))
        if self.num_bands:
            features = normalize_content(torch.cat([features, articulation(even, self.num_bands)], dim=-1))
        return features[:, :frames]


def articulation(log_mel: Tensor, num_bands: int) -> Tensor:
    """Describe the spectral shape of each frame in wide bands, free of level.

    Args:
        log_mel: [B, 80, F], natural logarithm of mel-band powers.
        num_bands: bands, a divisor of 80; each is the mean of neighbouring mel bands.
    Returns:
        [B, F, num_bands], natural logarithm of power relative to the frame's mean over bands, with 30 dB of range.
    """
    power = torch.exp(log_mel)
    bands = power.reshape(power.shape[0], num_bands, -1, power.shape[-1]).mean(dim=2)
    floor = ARTICULATION_RANGE * bands.mean(dim=1, keepdim=True) + 1e-6
    shape = torch.log(bands + floor)
    return (shape - shape.mean(dim=1, keepdim=True)).transpose(1, 2)


class RandomContent(ContentEncoder):
    """A tiny network of the same kind with seeded random weights, for tests.

    Args:
        dim: size of the feature vectors.
        seed: seed of the weights.
    """

    def __init__(self, *, dim: int = 16, seed: int = 0) -> None:
        super().__init__()
        self.dim, self.seed = dim, seed
        self.front = LogMelFront()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = ContentNetwork(channels=24, num_blocks=1, kernel_size=3, dim=dim)
        self.requires_grad_(False)
        self.eval()

    @property
    def identity(self) -> dict[str, Any]:
        """Plain data that names the encoder, its seed and D."""
        return {"id": "random", "version": "1", "seed": self.seed, "dim": self.dim}

    def forward(self, audio: Tensor) -> Tensor:
        """Return features [B, F, D] of audio [B, F * 160] at 16 kHz."""
        mel = self.front(functional.pad(audio, (0, 320)))
        frames = mel.shape[-1] - 2
        even = mel[:, :, : (mel.shape[-1] // 2) * 2]
        return normalize_content(double_frame_rate(self.network(even)))[:, :frames]


def read_weights(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Read a safetensors file: its text metadata and its tensors.

    Raises:
        ConfigError: if the file is absent or not a complete safetensors file.
    """
    if not path.is_file():
        where = f"{path.name} are missing in {path.parent}"
        raise ConfigError(f"content weights {where}; restore the file from the repository")
    try:
        with safe_open(str(path), framework="pt") as stream:
            names = stream.keys()
            return dict(stream.metadata() or {}), {name: stream.get_tensor(name) for name in names}
    except SafetensorError as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> ConfigError:
    reason = " ".join(str(error).split())[:120]
    return ConfigError(f"content weights {path} are damaged ({reason}); restore the file from the repository")
