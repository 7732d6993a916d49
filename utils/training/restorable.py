"""Whether everything that a run continues from is whole, before Lightning and PyTorch take it over unlooked at."""

import copy
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.callbacks import Callback
from torch import nn

from models.adversarial import STATE_KEY, AdversarialTraining
from utils.config.plain_data import first_line, require_plain, shown
from utils.training.checkpoint_checks import damaged, require_optimizers
from utils.training.random_states import random_state, set_random_state

LIGHTNING_VERSION = re.compile(r"2(\.\d{1,4}){1,3}(\.?(post|rc|dev)\d{0,6})?", re.ASCII)
NOT_RESTORED = ("loops", "Precision", "MixedPrecision", "native_amp_scaling_state")  # we keep no such state
COUNTS = ("accumulate", "skipped", "skipped_in_a_row")
MOST_VALUES = 10_000_000  # of all figures of a run
ADAM_MOMENTS = {"step", "exp_avg", "exp_avg_sq"}
# what restoring raises for a state of other kinds
REFUSALS = (TypeError, ValueError, RuntimeError, ArithmeticError, LookupError, AttributeError, AssertionError)


def require_restorable(
    content: dict[str, Any], path: Path, module: AdversarialTraining, callbacks: Sequence[Callback]
) -> None:
    """Check the states of optimizers, schedules, callbacks and random generators of a checkpoint.

    Args:
        content: of the checkpoint, whose networks and groups of parameters are those of the module.
        path: of the checkpoint, for messages.
        module: that will continue it; stays as it is.
        callbacks: that will continue it; stay as they are.
    Raises:
        FormatError: in one line, if one is missing or damaged.
    """
    version = content.get("pytorch-lightning_version")
    if not isinstance(version, str) or not LIGHTNING_VERSION.fullmatch(version):
        raise damaged(path, f"it names version {shown(version)} of Lightning")
    unknown = [key for key in NOT_RESTORED if key in content]
    if unknown:
        raise damaged(path, f"it holds {unknown[0]}, which no checkpoint of ours has")
    networks = [network for network in (module.generator, module.discriminator) if network is not None]
    for index, network in enumerate(networks):
        _require_optimizer(content, path, module, network, index)
    _require_callbacks(content.get("callbacks"), path, callbacks)
    _require_module_state(content.get(STATE_KEY, {}), path)
    _require_random_states(content.get("random_states"), path)


def _require_optimizer(
    content: dict[str, Any], path: Path, module: AdversarialTraining, network: nn.Module, index: int
) -> None:
    optimizer = module.make_optimizer(network)
    shapes = [tuple(parameter.shape) for group in optimizer.param_groups for parameter in group["params"]]
    require_optimizers({"optimizer_states": content["optimizer_states"][index:]}, path, [shapes])
    moments = content["optimizer_states"][index]["state"].values()
    kinds = {frozenset(values) for values in moments}
    needed = ADAM_MOMENTS if isinstance(optimizer, torch.optim.Adam) else set()
    if len(kinds) > 1 or any(not needed <= kind for kind in kinds):
        raise damaged(path, "the state of an optimizer lacks moments of a parameter")
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, module.schedule)
    states = content.get("lr_schedulers")
    if not isinstance(states, list) or len(states) <= index or not isinstance(states[index], dict):
        raise damaged(path, "it holds no states of its schedules")
    _require_schedule(states[index], path, schedule)


def _require_schedule(state: dict[Any, Any], path: Path, schedule: torch.optim.lr_scheduler.LambdaLR) -> None:
    """Check a state that PyTorch writes over the attributes of a schedule, whatever they are."""
    fresh = schedule.state_dict()
    require_plain(state, f"checkpoint {path}: its schedule", max_depth=4, max_values=10_000)
    for key, value in state.items():
        wanted = fresh.get(key)
        is_lambdas = key == "lr_lambdas" and value == wanted
        is_list = type(value) is list and len(value) == len(schedule.base_lrs) and all(map(_is_number, value))
        is_alike = is_list if type(wanted) is list else _is_number(value) or type(value) is bool
        if key == "verbose" and type(value) in (bool, str):  # of earlier versions of PyTorch
            continue
        if key not in fresh or not (is_lambdas or is_alike):
            raise damaged(path, f"the state of a schedule: {shown(str(key))} is of a wrong kind")
    if not {"last_epoch", "base_lrs"} <= set(state):
        raise damaged(path, "the state of a schedule is not complete")


def _require_callbacks(states: Any, path: Path, callbacks: Sequence[Callback]) -> None:
    if not isinstance(states, dict) or not all(isinstance(key, str) for key in states):
        raise damaged(path, "it holds no states of its callbacks")
    for callback in callbacks:
        state = states.get(callback.state_key)
        if not state:
            continue
        what = f"checkpoint {path}: {type(callback).__name__}"
        require_plain(state, what, max_depth=4, max_values=MOST_VALUES)
        if not isinstance(state, dict) or not _is_alike(state, callback.state_dict()):
            raise damaged(path, f"the state of {type(callback).__name__} has values of a wrong kind")
        try:
            copy.copy(callback).load_state_dict(copy.deepcopy(state))
        except REFUSALS as error:
            raise damaged(path, f"the state of {type(callback).__name__} ({first_line(error)})") from error


def _is_alike(theirs: Any, ours: Any) -> bool:
    """Whether a state has values of the kinds of our own; lists hold numbers, or sections of numbers."""
    if isinstance(ours, dict):
        return isinstance(theirs, dict) and all(
            _is_alike(theirs[key], ours[key]) for key in theirs.keys() & ours.keys()
        )
    if isinstance(ours, list):
        return isinstance(theirs, list) and all(
            all(map(_is_number, item.values())) if isinstance(item, dict) else _is_number(item) for item in theirs
        )
    if ours is None:
        return theirs is None or _is_number(theirs)
    return _is_number(theirs) if _is_number(ours) else type(theirs) is type(ours)


def _require_module_state(state: Any, path: Path) -> None:
    scalers = state.get("scalers", {}) if isinstance(state, dict) else None
    is_whole = isinstance(scalers, dict) and all(
        isinstance(values, dict) and all(map(_is_number, values.values())) for values in scalers.values()
    )
    if not is_whole or not all(type(state.get(key, 0)) is int and 0 <= state.get(key, 0) < 2**31 for key in COUNTS):
        raise damaged(path, f"{STATE_KEY} has values of a wrong kind")


def _require_random_states(states: Any, path: Path) -> None:
    """Check the states of random generators by setting them and going back."""
    if states is None:  # of the first version
        return
    processes = states.get("processes") if isinstance(states, dict) else None
    if not isinstance(processes, list):
        raise damaged(path, "it holds no states of its random generators")
    before = random_state()
    try:
        for state in processes:
            set_random_state(state)
    except REFUSALS as error:
        raise damaged(path, f"the states of its random generators ({first_line(error)})") from error
    finally:
        set_random_state(before)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)
