"""Networks whose sizes a file says: building ends where they outgrow what the file itself holds."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)

from utils.errors import FormatError

COPIES = 3  # weight normalisation registers a weight, and then its length and direction
SPARE_VALUES = 2**26  # for tables that are no weights
MOST_TENSORS = 20_000


@contextmanager
def bounded_size(num_values: int, source: str) -> Iterator[None]:
    """Let networks have about so many numbers, whatever sizes a file asks for.

    Args:
        num_values: numbers of all weights.
        source: the file, for the message.
    Raises:
        FormatError: where building goes beyond.
    """
    most, values, tensors = COPIES * num_values + SPARE_VALUES, 0, 0

    def count(module: nn.Module, name: str, value: torch.Tensor | None) -> None:
        nonlocal values, tensors
        values, tensors = values + (0 if value is None else value.numel()), tensors + 1
        if values > most or tensors > MOST_TENSORS:
            raise FormatError(
                f"{source} asks for a network of more numbers than it holds ({type(module).__name__}.{name}); it was "
                "not built"
            )

    hooks = [register_module_parameter_registration_hook(count), register_module_buffer_registration_hook(count)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
