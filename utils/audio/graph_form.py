"""The form in which a module is traced into an exported graph: the same weights, the operators that runtimes run fast.

A layer that computes otherwise in a graph says so by a method `graph_form` that returns its sibling. Networks know
nothing of it: `graph_form` below makes copies of all that holds such a layer.
"""

import copy
from typing import TypeVar

from torch import nn

Module = TypeVar("Module", bound=nn.Module)


def graph_form(module: nn.Module) -> nn.Module:
    """Return a module as it is traced; the module itself stays as it is and shares its tensors with the result."""
    own = getattr(module, "graph_form", None)
    if callable(own):
        form: nn.Module = own()
        return form
    return in_graph_parts(module)


def in_graph_parts(module: Module) -> Module:
    """Return a module with the graph forms of its parts in their place; itself where no part has another form."""
    parts = {name: graph_form(part) for name, part in module._modules.items() if part is not None}
    changed = {name: part for name, part in parts.items() if part is not module._modules[name]}
    return with_parts(module, **changed) if changed else module


def with_parts(module: Module, **parts: nn.Module) -> Module:
    """Return a copy of a module that shares its tensors and has other parts under some names."""
    copied = copy.copy(module)
    copied._modules = {**module._modules, **parts}
    return copied
