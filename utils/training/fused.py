"""Adam's update of a parameter in one pass over memory, where the parameters lie on a processor."""

import torch


def fuse_on_processor(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Switch on the fused update of an optimizer that has one, unless the configuration has decided.

    The groups alone are told, not the constructor: an optimizer that is built as fused would take a 16-bit training's
    scale out of the gradients by itself, after they have been clipped.
    """
    for group in optimizer.param_groups:
        is_open = "fused" in group and group["fused"] is None and not group["foreach"]
        if is_open and all(value.device.type == "cpu" and value.is_floating_point() for value in group["params"]):
            group["fused"] = True
    return optimizer
