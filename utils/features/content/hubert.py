"""HuBERT-like encoders (ContentVec and kin) for users who have their weights."""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor

from utils.audio.frames import FEATURE_HOP
from utils.errors import ConfigError, WorkbenchError
from utils.features.content.base import ContentEncoder
from utils.features.content.hubert_files import HubertWeights, digest, explain, fetch_from_hub, read_hubert

REPEATS = 2  # 50 frames a second become 100
HUBERT_HOP = REPEATS * FEATURE_HOP
VERSION = "2"
HUB_PREFIX = "hf:"


def open_content(
    *, path: str | None, layer: int, name: str, is_projected: bool = False, is_normalized: bool = False
) -> ContentEncoder:
    """Open an encoder from wherever its weights are.

    Args:
        path: transformers folder, file of weights, fairseq .pt or ONNX file; "hf:user/model" is of the hub, and
            nothing else leads to the network.
        layer: hidden layer, counted from 1.
        name: what datasets and exports record as the encoder's id.
        is_projected: whether the layer goes through the network's final projection, as in RVC v1.
        is_normalized: whether audio is brought to zero mean and unit variance first.
    Raises:
        ConfigError: one line that says what is wrong, and what to put where.
    """
    if not path:
        raise explain(ConfigError("content.path is not set"), name)
    if Path(path).suffix.lower() == ".onnx":
        from utils.features.content.onnx_file import OnnxContent

        return OnnxContent(path=path, layer=layer, name=name, is_projected=is_projected, is_normalized=is_normalized)
    try:
        is_of_hub = path.startswith(HUB_PREFIX)
        weights = read_hubert(fetch_from_hub(path.removeprefix(HUB_PREFIX)) if is_of_hub else _existing(path))
    except WorkbenchError as error:
        raise explain(error, name) from error
    return HubertContent(weights, layer=layer, name=name, is_projected=is_projected, is_normalized=is_normalized)


class HubertContent(ContentEncoder):
    """One hidden layer of a HuBERT, on 100 frames a second as RVC has it: each frame twice, in the network's own scale.

    The recording is mirrored by 2.5 ms at both ends, as for the reference features that ultimate-rvc ships; so a frame
    of the network is centred on the two of ours for which it stands. An odd last frame repeats the one before it.
    Recordings of 10 ms are filled up with silence.

    Args:
        weights: of the whole network.
        layer: hidden layer, counted from 1.
        name: what datasets and exports record as the encoder's id.
        is_projected: whether the layer goes through the network's final projection, as in RVC v1.
        is_normalized: whether audio is brought to zero mean and unit variance first.
    Raises:
        ConfigError: if the network has no such layer or projection, or other frames than 20 ms.
    """

    def __init__(
        self,
        weights: HubertWeights,
        *,
        layer: int,
        name: str,
        is_projected: bool = False,
        is_normalized: bool = False,
    ) -> None:
        super().__init__()
        sizes = weights.sizes
        if not 1 <= layer <= sizes.num_hidden_layers:
            raise ConfigError(f"content.layer={layer} is out of range; allowed: 1 to {sizes.num_hidden_layers}")
        if is_projected and weights.projection_dim is None:
            raise ConfigError(
                f"content.is_projected=true needs final_proj, which {weights.place} lacks; RVC v1 needs a ContentVec "
                "that has it"
            )
        if sizes.hop_length != HUBERT_HOP:
            raise ConfigError(f"{weights.place} has frames of {sizes.hop_length} samples; {HUBERT_HOP} are needed")
        self.network = weights.build(layer=layer, is_projected=is_projected)
        self.layer, self.name = layer, name
        self.is_projected, self.is_normalized = is_projected, is_normalized
        self.dim = (weights.projection_dim or 0) if is_projected else sizes.hidden_size
        self.shortest = sizes.window_length
        self.weights_sha256 = digest(self.network.state_dict())
        self.requires_grad_(False)
        self.eval()

    @property
    def identity(self) -> dict[str, Any]:
        """Plain data that names the encoder, its weights' hash and D."""
        return identity(self, self.weights_sha256)

    def forward(self, audio: Tensor) -> Tensor:
        """Return features [B, F, D] of audio [B, F * 160] at 16 kHz."""
        return on_our_frames(self.network(prepared(audio, self.shortest, is_normalized=self.is_normalized)), audio)


def identity(encoder: Any, weights_sha256: str) -> dict[str, Any]:
    """Return what names an encoder of this kind."""
    plain = {
        "id": encoder.name, "version": VERSION, "layer": encoder.layer, "weights_sha256": weights_sha256,
        "dim": encoder.dim,
    }  # fmt: skip
    flags = {"is_projected": encoder.is_projected, "is_normalized": encoder.is_normalized}
    return plain | {key: True for key, value in flags.items() if value}


def prepared(audio: Tensor, shortest: int, *, is_normalized: bool) -> Tensor:
    """Return audio [B, T] as the network wants it: normalised where asked for, mirrored so that its frames are centred.

    Args:
        audio: at least 10 ms.
        shortest: samples that one frame sees; silence stands behind what is shorter.
        is_normalized: whether to bring it to zero mean and unit variance.
    """
    if is_normalized:
        centred = audio - audio.mean(dim=1, keepdim=True)
        # 1e-7 as transformers' feature extractor adds to the variance
        audio = centred * torch.rsqrt(centred.square().mean(dim=1, keepdim=True) + 1e-7)
    margin = (shortest - HUBERT_HOP) // 2
    mirrored = functional.pad(audio, (margin, margin), mode="reflect")
    length = torch.ones_like(mirrored[0], dtype=torch.int64).sum().clamp(min=shortest)
    return functional.pad(mirrored, (0, shortest))[:, :length]


def on_our_frames(hidden: Tensor, audio: Tensor) -> Tensor:
    """Return [B, F, D] at 100 frames a second of [B, F', D] at 50, for audio [B, F * 160]."""
    last = hidden[:, -1:]
    doubled = torch.cat([hidden, last], dim=1).repeat_interleave(REPEATS, dim=1)
    return doubled[:, : audio.shape[-1] // FEATURE_HOP]


def _existing(path: str) -> Path:
    place = Path(path).expanduser()
    if not place.exists():
        raise ConfigError(f"content.path={path} is not a file or folder")
    return place
