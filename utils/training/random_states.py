"""The states of all global random generators, as plain data for a checkpoint."""

import random
from typing import Any

import numpy as np
import torch
import torch.distributed as distributed

from models.updating import world_size


def gather_random_states() -> dict[str, Any]:
    """Return the state of every random generator of every process, as plain data."""
    own = random_state()
    if world_size() == 1:
        return {"processes": [own]}
    found: list[Any] = [None] * world_size()
    distributed.all_gather_object(found, own)
    return {"processes": found}


def random_state() -> dict[str, Any]:
    """Return the states of this process's global generators; this project does not use them, libraries may."""
    version, words, gauss = random.getstate()
    numpy_state: Any = np.random.get_state(legacy=False)  # noqa: NPY002 - the global state is what is saved
    numpy_state["state"]["key"] = torch.from_numpy(numpy_state["state"]["key"].astype(np.int64))
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    python_state = [version, list(words), gauss]
    return {"python": python_state, "numpy": numpy_state, "torch": torch.get_rng_state(), "cuda": devices}


def set_random_state(state: dict[str, Any]) -> None:
    """Set the states of this process's global generators."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    numpy_state = {**state["numpy"], "state": {**state["numpy"]["state"]}}
    numpy_state["state"]["key"] = numpy_state["state"]["key"].numpy().astype(np.uint32)
    np.random.set_state(numpy_state)  # noqa: NPY002
    torch.set_rng_state(state["torch"].cpu())
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([item.cpu() for item in state["cuda"]])
