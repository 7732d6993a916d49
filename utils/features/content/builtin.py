"""The workbench's own content encoder: a small transformer distilled from a speech recogniser's encoder."""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as functional
from safetensors import SafetensorError, safe_open
from torch import Tensor

from utils.errors import ConfigError
from utils.features.content.base import ContentEncoder, double_frame_rate, normalize_content
from utils.features.content.network import FRAME_SAMPLES, ContentNetwork
from utils.files import sha256_of_file

WEIGHTS_FOLDER = Path(__file__).resolve().parents[1] / "weights"
SIZES = ("channels", "num_layers", "num_heads", "rotary_dim", "past", "future", "dim")
LOOK_AHEADS = ("full", "short")
LOW_RMS = 10 ** (-26 / 20)  # quieter audio is raised to this level, about that of speech at -23 LUFS
MAX_RAISE = 10 ** (40 / 20)


class BuiltinContent(ContentEncoder):
    """Our encoder with shipped weights.

    Args:
        weights: name of a file in utils/features/weights, or a path of one's own.
        look_ahead: "full", the best features, or "short": no audio later than 14 ms behind a frame of 20 ms.
    """

    def __init__(self, *, weights: str = "content_builtin.safetensors", look_ahead: str = "full") -> None:
        super().__init__()
        if look_ahead not in LOOK_AHEADS:
            raise ConfigError(f"content.look_ahead={look_ahead} is not one of {', '.join(LOOK_AHEADS)}")
        self.path = WEIGHTS_FOLDER / weights if not Path(weights).is_file() else Path(weights)
        metadata, tensors = read_weights(self.path)
        try:
            sizes = {key: int(metadata[key]) for key in SIZES}
            self.version = metadata["version"]
            self.network = ContentNetwork(**sizes)
            self.network.load_state_dict({key: value.float() for key, value in tensors.items()})
        except (KeyError, ValueError, RuntimeError) as error:
            raise _damaged(self.path, error) from error
        self.dim = sizes["dim"]
        self.look_ahead = look_ahead
        self.requires_grad_(False)
        self.eval()
        self.sha256 = sha256_of_file(self.path)

    @property
    def identity(self) -> dict[str, Any]:
        """Plain data that names the encoder, its weights' hash and D."""
        named = {"id": "builtin", "version": self.version, "weights_sha256": self.sha256, "dim": self.dim}
        return named if self.look_ahead == "full" else {**named, "look_ahead": self.look_ahead}

    def forward(self, audio: Tensor) -> Tensor:
        """Return features [B, F, D] of audio [B, F * 160] at 16 kHz."""
        is_short = self.look_ahead == "short"
        heard = raise_level(_whole_frames(audio))
        features = normalize_content(self.network(heard, future=0 if is_short else None))
        # between two frames lies what comes later than the first
        doubled = features.repeat_interleave(2, dim=1) if is_short else normalize_content(double_frame_rate(features))
        return doubled[:, : audio.shape[-1] // (FRAME_SAMPLES // 2)]


class RandomContent(ContentEncoder):
    """A tiny network of the same kind with seeded random weights, for tests.

    Args:
        dim: size of the feature vectors.
        seed: seed of the weights.
    """

    def __init__(self, *, dim: int = 16, seed: int = 0) -> None:
        super().__init__()
        self.dim, self.seed = dim, seed
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = ContentNetwork(
                channels=24, num_layers=1, num_heads=2, rotary_dim=4, past=4, future=2, dim=dim
            )
        self.requires_grad_(False)
        self.eval()

    @property
    def identity(self) -> dict[str, Any]:
        """Plain data that names the encoder, its seed and D."""
        return {"id": "random", "version": "1", "seed": self.seed, "dim": self.dim}

    def forward(self, audio: Tensor) -> Tensor:
        """Return features [B, F, D] of audio [B, F * 160] at 16 kHz."""
        features = normalize_content(double_frame_rate(self.network(_whole_frames(audio))))
        return features[:, : audio.shape[-1] // (FRAME_SAMPLES // 2)]


def raise_level(audio: Tensor) -> Tensor:
    """Return audio [B, T] of which rows below -26 dB (root mean square) are that loud, if 40 dB more suffice."""
    rms = torch.sqrt(audio.square().mean(dim=1, keepdim=True))
    return audio * (LOW_RMS / rms.clamp(min=LOW_RMS / MAX_RAISE, max=LOW_RMS))


def _whole_frames(audio: Tensor) -> Tensor:
    """Return [B, T] with silence behind it, as many samples as an even number of features needs."""
    padded = functional.pad(audio, (0, FRAME_SAMPLES))
    return padded[:, : padded.shape[-1] // FRAME_SAMPLES * FRAME_SAMPLES]


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
