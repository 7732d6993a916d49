"""HuBERT-like encoders (ContentVec and kin) for users who have their weights."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from utils.errors import ConfigError
from utils.features.content.base import ContentEncoder


class HubertContent(ContentEncoder):
    """One hidden layer of a HuBERT model loaded by the library transformers.

    Features keep their own scale (the RVC convention); they are repeated from 50 to 100 frames a second.

    Args:
        path: folder or hub id that transformers.HubertModel.from_pretrained accepts.
        layer: hidden layer, counted from 1.
        name: what datasets and exports record as the encoder's id.
    """

    is_exportable = False

    def __init__(self, *, path: str | None, layer: int, name: str) -> None:
        super().__init__()
        if not path:
            hint = f"put {name} (a transformers folder) somewhere and type content.path=<folder>"
            raise ConfigError(f"content.path is not set; {hint}")
        try:
            from transformers import HubertModel
        except ImportError as error:
            raise ConfigError(f"content={name} needs transformers; type: pip install transformers") from error
        try:
            self.model = HubertModel.from_pretrained(path).eval().requires_grad_(False)
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise ConfigError(f"content.path={path!r} holds no HuBERT model ({reason})") from error
        if not 1 <= layer <= self.model.config.num_hidden_layers:
            most = self.model.config.num_hidden_layers
            raise ConfigError(f"content.layer={layer} is out of range; allowed: 1 to {most}")
        self.layer, self.name, self.source = layer, name, path
        self.dim = int(self.model.config.hidden_size)

    @property
    def identity(self) -> dict[str, Any]:
        """Plain data that names the encoder, a digest of its weights and D."""
        total = float(sum(value.double().abs().sum() for value in self.model.state_dict().values()))
        return {
            "id": self.name,
            "version": "1",
            "layer": self.layer,
            "weights_sum": round(total, 3),
            "source": Path(self.source).name,
            "dim": self.dim,
        }

    def forward(self, audio: Tensor) -> Tensor:
        """Return features [B, F, D] of audio [B, F * 160] at 16 kHz."""
        frames = audio.shape[-1] // 160
        padded = torch.nn.functional.pad(audio, (80, 560))  # HuBERT's frames end 400 samples after they begin
        hidden = self.model(padded, output_hidden_states=True).hidden_states[self.layer]
        return hidden.repeat_interleave(2, dim=1)[:, :frames]
