"""The workbench's own content encoder: a small transformer distilled from a speech recogniser's encoder."""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as functional
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from utils.audio.graph_form import with_parts
from utils.errors import ConfigError, FormatError
from utils.features.content.base import ContentEncoder, double_frame_rate, normalize_content
from utils.features.content.grid import from_grid
from utils.features.content.network import FRAME_SAMPLES, ContentNetwork
from utils.features.content.network_in_graph import ContentNetworkInGraph
from utils.features.identity import SAME_FEATURES
from utils.rvc.bounded_size import bounded_size
from utils.shipped import checked_sha256, find_shipped

WEIGHTS_FOLDER = Path(__file__).resolve().parents[1] / "weights"
SIZES = ("channels", "num_layers", "num_heads", "rotary_dim", "past", "future", "dim")
LOOK_AHEADS = ("full", "short")
LOW_RMS = 10 ** (-26 / 20)  # quieter audio is raised to this level, about that of speech at -23 LUFS
MAX_RAISE = 10 ** (40 / 20)


class BuiltinContent(ContentEncoder):
    """Our encoder with shipped weights.

    Args:
        weights: name of a shipped file, which is always that of utils/features/weights, or a path of one's own.
        look_ahead: "full", the best features, or "short": no audio later than 14 ms behind a frame of 20 ms.
    Raises:
        ConfigError: if look_ahead is unknown, or a file of one's own is absent or no content encoder of ours.
        FormatError: if the shipped file is absent or not what it was.
    """

    def __init__(self, *, weights: str = "content_builtin.safetensors", look_ahead: str = "full") -> None:
        super().__init__()
        if look_ahead not in LOOK_AHEADS:
            raise ConfigError(f"content.look_ahead={look_ahead} is not one of {', '.join(LOOK_AHEADS)}")
        self.path = _find(weights)
        self.sha256 = checked_sha256(self.path)
        self.version, self.network, self._taught_by = _build(self.path)
        self.dim = self.network.head.out_features
        self.look_ahead = look_ahead
        self.requires_grad_(False)
        self.eval()

    @property
    def identity(self) -> dict[str, Any]:
        """Plain data that names the encoder, its weights' hash, D, and whose features it was taught."""
        named = {"id": "builtin", "version": self.version, "weights_sha256": self.sha256, "dim": self.dim}
        named |= {SAME_FEATURES: self._taught_by} if self._taught_by else {}
        return named if self.look_ahead == "full" else {**named, "look_ahead": self.look_ahead}

    def forward(self, audio: Tensor) -> Tensor:
        """Return features [B, F, D] of audio [B, F * 160] at 16 kHz."""
        is_short = self.look_ahead == "short"
        levelled = raise_level(whole_frames(audio))
        features = normalize_content(self.network(levelled, future=0 if is_short else None))
        # between two frames lies what comes later than the first
        doubled = features.repeat_interleave(2, dim=1) if is_short else normalize_content(double_frame_rate(features))
        return doubled[:, : audio.shape[-1] // (FRAME_SAMPLES // 2)]

    def graph_form(self) -> nn.Module:
        """Return the encoder as an exported graph has it."""
        return with_parts(self, network=ContentNetworkInGraph(self.network))


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
        features = normalize_content(double_frame_rate(self.network(whole_frames(audio))))
        return features[:, : audio.shape[-1] // (FRAME_SAMPLES // 2)]

    def graph_form(self) -> nn.Module:
        """Return the encoder as an exported graph has it."""
        return with_parts(self, network=ContentNetworkInGraph(self.network))


def raise_level(audio: Tensor) -> Tensor:
    """Return audio [B, T] of which rows below -26 dB (root mean square) are that loud, if 40 dB more suffice."""
    rms = torch.sqrt(audio.square().mean(dim=1, keepdim=True))
    return audio * (LOW_RMS / rms.clamp(min=LOW_RMS / MAX_RAISE, max=LOW_RMS))


def whole_frames(audio: Tensor) -> Tensor:
    """Return audio [B, T] with silence behind it, as many samples as an even number of features needs."""
    padded = functional.pad(audio, (0, FRAME_SAMPLES))
    return padded[:, : padded.shape[-1] // FRAME_SAMPLES * FRAME_SAMPLES]


def read_weights(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Read a safetensors file: its text metadata and its tensors.

    Raises:
        ConfigError: if the file is not a complete safetensors file.
        FormatError: if it cannot be read, or is a shipped one that is not what it was.
    """
    checked_sha256(path)
    return _read(path)


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    try:
        with safe_open(str(path), framework="pt") as stream:
            names = stream.keys()
            return dict(stream.metadata() or {}), {name: stream.get_tensor(name) for name in names}
    except SafetensorError as error:
        raise ConfigError(f"{path} is not a complete safetensors file ({_reason(error)}); make it again") from error


def _find(weights: str) -> Path:
    shipped = find_shipped(weights, WEIGHTS_FOLDER)
    own = Path(weights).expanduser()
    path = shipped or (own if own.is_file() else WEIGHTS_FOLDER / own)
    if shipped is None and not path.is_file():
        raise ConfigError(
            f"content.weights={weights} is not a file; give the file of an encoder of yours, or leave content.weights "
            "out for the one that ships with the workbench"
        )
    return path


def _build(path: Path) -> tuple[str, ContentNetwork, str]:
    """Return version and network of a file, and the hash of the weights whose features it was taught, "" of others."""
    metadata, tensors = _read(path)
    missing = [key for key in (*SIZES, "version") if key not in metadata]
    if missing:
        raise _foreign(path, f"its metadata have no {', '.join(missing)}")
    infinite = [name for name, value in tensors.items() if not torch.isfinite(value).all()]
    if infinite:
        raise FormatError(f"content.weights={path} has values that are not finite in {infinite[0]}; make it again")
    try:
        with bounded_size(sum(value.numel() for value in tensors.values()), f"content.weights={path}"):
            network = ContentNetwork(**{key: int(metadata[key]) for key in SIZES})
        network.load_state_dict(from_grid(tensors))
    except (FormatError, ValueError, ZeroDivisionError, RuntimeError) as error:
        raise _foreign(path, _reason(error)) from error
    return metadata["version"], network, metadata.get(SAME_FEATURES, "")


def _foreign(path: Path, reason: str) -> ConfigError:
    return ConfigError(
        f"content.weights={path} is no content encoder of this workbench ({reason}); "
        "docs/guides/content_encoder.md says how to make one"
    )


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
