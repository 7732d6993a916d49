"""Small networks with the names of RVC's, and files of them as RVC-WebUI and Applio write them."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.base import BaseVoiceConversionModel
from utils.config.export import export_job
from utils.config.train import TrainJob, train_job
from utils.export.plans import ImportSettings, plan_export
from utils.rvc.layout import POSTERIOR

SMALL = (
    "model.hidden_channels=8", "model.filter_channels=16", "model.num_layers=1", "model.posterior_layers=2",
    "model.upsample_channels=32", "model.speaker_dim=4",
)  # fmt: skip
SMALL_CONFIG = [1025, 32, 8, 8, 16, 2, 1, 3, 0, "1", [3, 7, 11], [[1, 3, 5]] * 3, [12, 10, 2, 2], 32, [24, 20, 4, 4]]


@cache
def published_parameters() -> dict[str, dict[str, list[int]]]:
    """Names and shapes of the public networks in the order in which a program registers them."""
    path = Path(__file__).parents[1] / "golden" / "rvc_parameters.json"
    parameters: dict[str, dict[str, list[int]]] = json.loads(path.read_text(encoding="utf-8"))
    return parameters


@cache
def composed(*overrides: str) -> TrainJob:
    """Compose a training, once for each set of overrides."""
    return train_job(list(overrides))


def small_generator(
    model: str = "rvc_v2_48k", *overrides: str, num_speakers: int = 1, content_dim: int = 768, seed: int = 0
) -> BaseVoiceConversionModel:
    """Return a generator of few channels with the stages of a published one."""
    torch.manual_seed(seed)
    rate = model.rsplit("_", 1)[-1]
    config = composed(f"model={model}", f"audio=rvc_{rate}", *SMALL, *overrides)
    network: BaseVoiceConversionModel = config.model.build(content_dim=content_dim, num_speakers=num_speakers)
    return network


def small_discriminator(version: str = "v2", seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    config = composed(f"discriminator=rvc_{version}", "discriminator.channels=64")
    network: nn.Module = config.discriminator.build()
    return network


def training_file(path: Path, network: nn.Module, **more: Any) -> Path:
    """Write a pretrained network as the programs do."""
    content = {"model": network.state_dict(), "iteration": 30, "optimizer": {}, "learning_rate": 1e-4, **more}
    torch.save(content, path)
    return path


def shared_weights(network: nn.Module) -> dict[str, Tensor]:
    """Return half-precision weights without the posterior."""
    state = network.state_dict().items()
    return {name: value.half() for name, value in state if not name.startswith(POSTERIOR)}


def webui_voice(network: nn.Module, **changes: Any) -> dict[str, Any]:
    """Return the content of a v2 48k voice of RVC-WebUI; a change to None leaves the field out."""
    weights = shared_weights(network)
    content = {
        "weight": weights,
        "config": [*SMALL_CONFIG, len(weights["emb_g.weight"]), 4, 48000],
        "info": "300epoch",
        "sr": "48k",
        "f0": 1,
        "version": "v2",
    }
    return {key: value for key, value in {**content, **changes}.items() if value is not None}


def applio_voice(network: nn.Module, **changes: Any) -> dict[str, Any]:
    """Return the content of a v2 48k voice of Applio."""
    fields = {
        "epoch": 200, "step": 4200, "sr": 48000, "f0": True, "creation_date": "2026-08-01T10:00:00", "info": None,
        "model_hash": "0" * 64, "dataset_length": "00:10:00", "model_name": "bob", "author": "None",
        "embedder_model": "contentvec", "speakers_id": 1, "vocoder": "HiFi-GAN",
    }  # fmt: skip
    return webui_voice(network, **{**fields, **changes})


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def settings_of(path: Path, *overrides: str) -> ImportSettings:
    """Return what export_onnx.py voice=<path> is told."""
    job = plan_export(export_job([f"voice={path}", *overrides]))
    assert job.imported is not None
    return job.imported
