"""HuBERT-like encoders (ContentVec and kin) for users who have their weights."""

from pathlib import Path
from typing import Any

from torch import Tensor

from utils.errors import ConfigError, WorkbenchError
from utils.features.content.base import ContentEncoder
from utils.features.content.hubert_files import (
    HUB_PREFIX,
    HubertWeights,
    digest,
    explain,
    fetch_from_hub,
    read_hubert,
)
from utils.features.content.hubert_frames import HUBERT_HOP, identity, on_our_frames, prepared
from utils.features.content.onnx_file import OnnxContent


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
                f"content.is_projected=true needs final_proj, which {weights.source} lacks; RVC v1 needs a ContentVec "
                "that has it"
            )
        if sizes.hop_length != HUBERT_HOP:
            raise ConfigError(f"{weights.source} has frames of {sizes.hop_length} samples; {HUBERT_HOP} are needed")
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


def _existing(path: str) -> Path:
    found = Path(path).expanduser()
    if not found.exists():
        raise ConfigError(f"content.path={path} is not a file or folder")
    return found
