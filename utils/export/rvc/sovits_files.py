"""A run of So-VITS-SVC as files that its public program resumes from: G_<step>.pth, D_<step>.pth and config.json."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from utils.config import select
from utils.corpus.description import DatasetDescription
from utils.errors import ConfigError
from utils.export.plans import FilesPlan
from utils.rvc.encoders import CONTENTVEC, require_published_content
from utils.rvc.layout import SPEAKER_TABLE, layout_of, legacy_name, legacy_state, shapes_of
from utils.rvc.sovits import CONFIG_NAME, HOP_LENGTH, OWN_KEY, SAMPLE_RATE
from utils.rvc.writing import MOMENTS, optimizer_content
from utils.training.checkpoint_checks import require_optimizers, steps_done, stored_config, stored_dataset

SPEECH_ENCODERS = {"v1": "vec256l9", "v2": "vec768l12"}  # by the version of RVC that has the same content
PUBLISHED_DATA = {
    "unit_interpolate_mode": "nearest", "max_wav_value": 32768.0, "sampling_rate": SAMPLE_RATE, "filter_length": 2048,
    "hop_length": HOP_LENGTH, "win_length": 2048, "n_mel_channels": 80, "mel_fmin": 0.0, "mel_fmax": 22050,
}  # fmt: skip
PUBLISHED_TRAIN = {
    "log_interval": 200, "eval_interval": 800, "seed": 1234, "epochs": 10000, "betas": [0.8, 0.99], "eps": 1e-9,
    "batch_size": 6, "fp16_run": False, "half_type": "fp16", "lr_decay": 0.999875, "segment_size": 10240,
    "init_lr_ratio": 1, "warmup_epochs": 0, "c_mel": 45, "c_kl": 1.0, "use_sr": True, "max_speclen": 512,
    "port": "8001", "keep_ckpts": 3, "all_in_mem": False, "vol_aug": False,
}  # fmt: skip


def sovits_training_files(
    plan: FilesPlan, content: dict[str, Any], path: Path, model: nn.Module
) -> tuple[dict[str, Any], list[str]]:
    """Return the files of a checkpoint by name, the configuration as plain data, and notes.

    Raises:
        ConfigError: if it has no discriminator, or its content is none that the program computes.
        FormatError: if the checkpoint is damaged.
    """
    config, dataset = stored_config(content, path, plan.trust), stored_dataset(content, path)
    state = content["state_dict"]
    generator, discriminator = (
        legacy_state({name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)})
        for prefix in ("generator.", "discriminator.")
    )
    layout = layout_of(shapes_of(generator))
    if not discriminator or layout_of(shapes_of(discriminator)).version != "sovits":
        raise ConfigError(f"{plan.run} has no discriminator of So-VITS-SVC; train with discriminator=sovits")
    require_published_content(dataset.content.identity, layout.version, str(plan.run))
    encoder = SPEECH_ENCODERS.get(layout.version or "")
    if encoder is None:
        raise ConfigError(
            f"{plan.run} listens to content of {layout.content_dim} values; So-VITS-SVC gives 256 (content="
            "contentvec_v1) or 768 (content=contentvec)"
        )
    # its optimizer numbers a parameter of several names once, by the first
    numbered = [[legacy_name(name) for name, _ in model.named_parameters()], list(discriminator)]
    shapes = [[tuple(weights[name].shape) for name in names] for weights, names in zip(
        (generator, discriminator), numbered, strict=True
    )]  # fmt: skip
    require_optimizers(content, path, shapes)
    rate = float(select(config, "optim.optimizer.lr"))
    step, epoch = steps_done(content), max(1, int(content.get("epoch", 0)))
    files: dict[str, Any] = {
        f"{letter}_{step}.pth": {
            "model": {name: value.float().contiguous() for name, value in weights.items()},
            "iteration": epoch,
            "optimizer": optimizer_with_moments(own, names),
            "learning_rate": rate,
        }
        for letter, weights, names, own in zip(
            "GD", (generator, discriminator), numbered, content["optimizer_states"], strict=True
        )
    }
    files[CONFIG_NAME] = config_content(config["model"], dataset, generator, encoder, rate)
    notes = [f"So-VITS-SVC with {layout.sovits}, encoder {encoder}; both optimizers go on where they were"]
    if (own := str(dataset.content.identity.get("id"))) != CONTENTVEC:
        notes.append(f"note: So-VITS-SVC computes {encoder} of ContentVec, this voice listens to {own}")
    return files, notes


def config_content(
    model: Mapping[str, Any], dataset: DatasetDescription, weights: Mapping[str, Tensor], encoder: str, rate: float
) -> dict[str, Any]:
    """Return the config.json of a voice: what it is, and for the rest the values of the published template."""
    num_speakers, speaker_dim = weights[SPEAKER_TABLE].shape
    version_4_1 = {
        "speech_encoder": encoder,
        "vocoder_name": "nsf-snake-hifigan" if model["use_snakes"] else "nsf-hifigan",
        "vol_embedding": model["use_volume"],
        "use_depthwise_conv": model["is_separable"],
        "flow_share_parameter": model["shares_flow"],
        "use_automatic_f0_prediction": model["predicts_f0"],
        "use_transformer_flow": model["transformer_flow"],
        "n_flow_layer": model["flow_layers"],
        "n_layers_trans_flow": model["flow_blocks"],
        "speaker_embedding": False,
    }
    network = {
        "inter_channels": model["hidden_channels"],
        "hidden_channels": model["hidden_channels"],
        **{key: model[key] for key in ("filter_channels", "kernel_size", "upsample_rates", "upsample_kernel_sizes")},
        "n_heads": model["num_heads"],
        "n_layers": model["num_layers"],
        "p_dropout": 0.1,
        "resblock": "1",
        "resblock_kernel_sizes": [3, 7, 11],
        "resblock_dilation_sizes": [[1, 3, 5]] * 3,
        "upsample_initial_channel": model["upsample_channels"],
        "n_layers_q": 3,
        "use_spectral_norm": False,
        "gin_channels": speaker_dim,
        "ssl_dim": weights["pre.weight"].shape[1],
        "n_speakers": num_speakers,
    }
    return {
        "train": {"learning_rate": rate, **PUBLISHED_TRAIN},
        "data": dict(PUBLISHED_DATA),
        "model": network | (version_4_1 if model["bins"] == "4.1" else {}),
        "spk": {name: row for row, name in enumerate(dataset.speaker_names)},
        OWN_KEY: {"embedder": str(dataset.content.identity.get("id"))},
    }


def optimizer_with_moments(state: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    """Return an AdamW state that a program loads which registers its parameters in the order in which we do."""
    kept = optimizer_content(state, names, None, 0)
    kept["state"] = {
        index: {key: torch.as_tensor(moments[key]).float().cpu() for key in MOMENTS}
        for index, moments in state["state"].items()
        if all(key in moments for key in MOMENTS)
    }
    return kept
