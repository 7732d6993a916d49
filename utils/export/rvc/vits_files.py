"""A run of VITS as files that its public program converts with: G_<step>.pth, D_<step>.pth and config.json.

What reads text is not in them, since a voice is trained without texts here: the program keeps random weights there.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from utils.config import select
from utils.corpus.description import DatasetDescription
from utils.errors import ConfigError, FormatError
from utils.export.plans import FilesPlan
from utils.export.rvc.sovits_files import optimizer_with_moments
from utils.rvc.layout import SPEAKER_TABLE, layout_of, legacy_state, shapes_of
from utils.rvc.sovits import CONFIG_NAME
from utils.rvc.vits import HOP_LENGTH, SAMPLE_RATE
from utils.training.checkpoint_checks import require_optimizers, steps_done, stored_config, stored_dataset

POSTERIOR_LAYERS = 16  # of the published network, which no configuration says
PUBLISHED_TRAIN = {
    "log_interval": 200, "eval_interval": 1000, "seed": 1234, "epochs": 10000, "betas": [0.8, 0.99], "eps": 1e-9,
    "batch_size": 64, "fp16_run": True, "lr_decay": 0.999875, "segment_size": 8192, "init_lr_ratio": 1,
    "warmup_epochs": 0, "c_mel": 45, "c_kl": 1.0,
}  # fmt: skip
PUBLISHED_DATA = {
    "text_cleaners": ["english_cleaners2"], "max_wav_value": 32768.0, "sampling_rate": SAMPLE_RATE,
    "hop_length": HOP_LENGTH, "n_mel_channels": 80, "mel_fmin": 0.0, "mel_fmax": None, "add_blank": True,
    "cleaned_text": True,
}  # fmt: skip
PUBLISHED_TEXT = {  # of the part that reads text
    "filter_channels": 768, "n_heads": 2, "n_layers": 6, "kernel_size": 3, "p_dropout": 0.1, "n_layers_q": 3,
    "use_spectral_norm": False,
}  # fmt: skip


def vits_training_files(
    plan: FilesPlan, content: dict[str, Any], path: Path, model: nn.Module
) -> tuple[dict[str, Any], list[str]]:
    """Return the files of a checkpoint by name, the configuration as plain data, and notes.

    Raises:
        ConfigError: if it has no discriminator, or is of a size that the program does not build.
        FormatError: if the checkpoint is damaged.
    """
    config, dataset = stored_config(content, path, plan.trust), stored_dataset(content, path)
    state = content["state_dict"]
    generator, discriminator = (
        legacy_state({name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)})
        for prefix in ("generator.", "discriminator.")
    )
    if not discriminator or layout_of(shapes_of(discriminator)).version != "sovits":
        raise ConfigError(f"{plan.run} has no discriminator of VITS; train with discriminator=sovits")
    layers = config["model"].get("posterior_layers")
    if layers != POSTERIOR_LAYERS:
        raise ConfigError(
            f"{plan.run} has model.posterior_layers={layers}, VITS always {POSTERIOR_LAYERS}; train with that"
        )
    rate = select(config, "optim.optimizer.lr")
    if type(rate) not in (int, float):
        raise FormatError(
            f"the configuration in {path} is damaged: optim.optimizer.lr is no number; get the file again"
        )
    own_names = [name for name, _ in model.named_parameters()]
    shapes = [tuple(model.get_parameter(name).shape) for name in own_names]
    require_optimizers(content, path, [shapes, [tuple(value.shape) for value in discriminator.values()]])
    step, epoch = steps_done(content), max(1, int(content.get("epoch", 0)))
    optimizers = {
        "G": {"state": {}, "param_groups": []},  # numbered over the text's part, too, which is not here
        "D": optimizer_with_moments(content["optimizer_states"][1], list(discriminator)),
    }
    files: dict[str, Any] = {
        f"{letter}_{step}.pth": {
            "model": {name: value.float().contiguous() for name, value in weights.items()},
            "iteration": epoch,
            "optimizer": optimizers[letter],
            "learning_rate": float(rate),
        }
        for letter, weights in (("G", generator), ("D", discriminator))
    }
    files[CONFIG_NAME] = config_content(config["model"], dataset, generator, float(rate))
    return files, [
        f"VITS for {len(generator[SPEAKER_TABLE])} speakers, without what reads text: its program converts between "
        "them, and can neither speak texts with it nor train it on"
    ]


def config_content(
    model: Mapping[str, Any], dataset: DatasetDescription, weights: Mapping[str, Tensor], rate: float
) -> dict[str, Any]:
    """Return the config.json of a voice: what it is, and for the rest the values of the published template."""
    num_speakers, speaker_dim = weights[SPEAKER_TABLE].shape
    hidden = model["hidden_channels"]
    return {
        "train": {**PUBLISHED_TRAIN, "learning_rate": rate},
        "data": {
            **PUBLISHED_DATA,
            "filter_length": model["n_fft"],
            "win_length": model["n_fft"],
            "n_speakers": num_speakers,
        },
        "model": {
            "inter_channels": hidden,
            "hidden_channels": hidden,
            **PUBLISHED_TEXT,
            "resblock": "1",
            "resblock_kernel_sizes": [3, 7, 11],
            "resblock_dilation_sizes": [[1, 3, 5]] * 3,
            "upsample_rates": list(model["upsample_rates"]),
            "upsample_initial_channel": model["upsample_channels"],
            "upsample_kernel_sizes": list(model["upsample_kernel_sizes"]),
            "gin_channels": speaker_dim,
        },
        "speakers": list(dataset.speaker_names),
    }
