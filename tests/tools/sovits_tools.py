"""Small networks with the names of So-VITS-SVC's, and files of them as that program writes them."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tests.tools.model_tools import SMALL_RVC
from utils.config.train import train_job


def small_sovits(*overrides: str, content_dim: int = 768, num_speakers: int = 3, seed: int = 0) -> nn.Module:
    """Return a generator of few channels."""
    torch.manual_seed(seed)
    job = train_job(["model=sovits_4_1", "audio=sovits", *SMALL_RVC, *overrides])
    network: nn.Module = job.model.build(content_dim=content_dim, num_speakers=num_speakers)
    return network


def sovits_config(network: Any, **changes: Any) -> dict[str, Any]:
    """Return the config.json of a network of 4.1; a change to None leaves the key of the section model out."""
    model = {
        "ssl_dim": network.content_dim, "gin_channels": network.emb_g.weight.shape[1], "n_speakers": 3,
        "speech_encoder": "vec768l12", "vol_embedding": network.emb_vol is not None, **changes,
    }  # fmt: skip
    return {
        "train": {"learning_rate": 1e-4},
        "data": {"sampling_rate": 44100, "hop_length": 512},
        "model": {key: value for key, value in model.items() if value is not None},
        "spk": {"anna": 0, "bert": 1},
    }


def sovits_files(folder: Path, network: nn.Module, config: dict[str, Any] | None = None) -> Path:
    """Write G_800.pth and config.json, and return the first."""
    path = folder / "G_800.pth"
    torch.save({"model": network.state_dict(), "iteration": 12, "optimizer": {}, "learning_rate": 1e-4}, path)
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return path
