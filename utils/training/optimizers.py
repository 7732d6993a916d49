"""Optimizers (which parameters decay, the fused kernel where it exists), compiled networks and memory formats."""

import inspect
import logging
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models.base import BaseVoiceConversionModel
from utils.config.train import OptimSettings, TrainerSettings
from utils.errors import ConfigError

NORMS = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.modules.batchnorm._NormBase)
MAGNITUDES = ("weight_g", "parametrizations.weight.original0")  # of weight normalisation, by our name and torch's


def build_optimizer(settings: OptimSettings, precision: Any) -> Callable[[nn.Module], torch.optim.Optimizer]:
    """Return what makes the optimizer of a network.

    Args:
        settings: its optimizer, decay_all and fused are read.
        precision: what Lightning is given; the fused kernel is not used with "16-mixed".
    Raises:
        ConfigError: if the class refuses a setting, which it would otherwise do only when the training begins.
    """
    factory = settings.optimizer.build()
    extra = {"fused": True} if use_fused(str(settings.fused).lower(), factory, precision) else {}
    try:
        factory([nn.Parameter(torch.zeros(1))], **extra)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(f"optim.optimizer: {error}") from error

    def make(network: nn.Module) -> torch.optim.Optimizer:
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        parameters = trained if settings.decay_all else decay_groups(network)
        optimizer: torch.optim.Optimizer = factory(parameters, **extra)
        return optimizer

    return make


def use_fused(wanted: str, factory: Any, precision: Any) -> bool:
    """Decide whether all parameters are updated by one kernel.

    Raises:
        ConfigError: if it is asked for where it does not exist.
    """
    maker = getattr(factory, "func", factory)
    has_kernel = "fused" in inspect.signature(maker).parameters
    # a fused optimizer takes the scale of 16-bit gradients out itself: too late for clipping
    if wanted == "true" and (not has_kernel or precision == "16-mixed"):
        reason = f"{maker.__name__} has no fused kernel" if not has_kernel else "gradients of 16-mixed must be clipped"
        raise ConfigError(f"optim.fused=true cannot be used here: {reason}; type optim.fused=auto")
    return wanted != "false" and has_kernel and precision != "16-mixed"


def decay_groups(network: nn.Module) -> list[dict[str, Any]]:
    """Sort trainable parameters into those that decay and those that must not.

    Weights of convolutions, linear layers and embeddings decay. Biases, everything of a norm, other vectors and
    scalars, and the magnitudes of weight normalisation do not: decay would scale such a layer and
    not make it simpler.

    Returns:
        Parameter groups in the order [decaying, not decaying]; empty ones are left out.
    """
    decaying: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    seen: set[nn.Parameter] = set()
    for prefix, module in network.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter in seen or not parameter.requires_grad:
                continue
            seen.add(parameter)
            path = f"{prefix}.{name}"
            is_vector = parameter.ndim <= 1 or name == "bias" or path.endswith(MAGNITUDES)
            (others if is_vector or isinstance(module, NORMS) else decaying).append(parameter)
    groups: list[dict[str, Any]] = [{"params": decaying}, {"params": others, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def require_same_optimizers(
    content: dict[str, Any], path: Path, make: Callable[[nn.Module], torch.optim.Optimizer], networks: list[nn.Module]
) -> None:
    """Check that the optimizers of a checkpoint can be continued by those of this configuration.

    Raises:
        ConfigError: if they sort their parameters otherwise, as those written before norms and biases were exempt.
    """
    for state, network in zip(content["optimizer_states"], networks, strict=False):
        theirs = [len(group["params"]) for group in state["param_groups"]]
        ours = [len(group["params"]) for group in make(network).param_groups]
        if theirs == ours:
            continue
        if len(theirs) == 1 and sum(theirs) == sum(ours):
            reason = "its optimizer decays all parameters alike, as those of older versions; add optim.decay_all=true"
        elif len(ours) == 1 and sum(theirs) == sum(ours):
            reason = "its optimizer does not decay norms and biases; add optim.decay_all=false"
        else:
            reason = f"its optimizer has groups of {theirs} parameters, this configuration makes {ours}"
        raise ConfigError(f"resume: {path} cannot be continued: {reason}")


def prepare_networks(
    settings: TrainerSettings, generator: BaseVoiceConversionModel, discriminator: nn.Module | None
) -> None:
    """Apply trainer.channels_last to the discriminator and trainer.compile to both, in place.

    Names of parameters stay as they are, so checkpoints fit with and without.

    Raises:
        ConfigError: if compiling is asked for where no compiler is.
    """
    if settings.channels_last and discriminator is not None:
        lay_out_channels_last(discriminator)
    if not settings.compile:
        return
    if not torch.cuda.is_available() and not shutil.which(os.environ.get("CXX", "g++")):
        raise ConfigError(
            "trainer.compile=true needs a C++ compiler on this machine (g++, or the one that CXX names): install it or "
            "leave trainer.compile=false"
        )
    # its advice on complex numbers and on the CUDA toolkit does not apply
    warnings.filterwarnings("ignore", message=".*code generation for complex operators.*")
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    for part in [*generator.parts_to_compile(), *([discriminator] if discriminator is not None else [])]:
        part.compile(dynamic=False)


def lay_out_channels_last(network: nn.Module) -> None:
    """Make the 2-d convolutions of a network work on feature maps whose channels lie side by side in memory.

    The maps are converted, not the weights, which weight normalisation computes anew in each pass.
    """

    def lay_out(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (inputs[0].contiguous(memory_format=torch.channels_last), *inputs[1:])

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(lay_out)
