"""Whether a checkpoint is whole: its kinds and shapes, before anything is made of what it says."""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from utils.config import from_yaml, select
from utils.config.plain_data import first_line, require_plain, shown
from utils.config.stored_objects import require_known_targets
from utils.corpus.description import DatasetDescription
from utils.errors import ConfigError, FormatError
from utils.training.codebook import CodebookRecord

PAYLOAD_KEY = "voclo_trainer"
SCHEMA_VERSION = 1
STEPS = "steps_done"
MAX_STEPS = 10**12
# what is used of a stored configuration besides its model
CONFIG_KINDS: dict[str, tuple[type, ...]] = {
    "model": (dict,),
    "audio.n_fft": (int,),
    "audio.sample_rate": (int,),
    "dataset.name": (str,),
    "dataset.root": (str,),
}


def require_checkpoint(content: Any, path: Path) -> None:
    """Check that a file's content is a checkpoint of ours, down to the kinds of what is used of it.

    Raises:
        FormatError: in one line, if it is of another program or schema, or something in it is missing or damaged.
    """
    if not isinstance(content, dict) or PAYLOAD_KEY not in content:
        raise FormatError(f"checkpoint {path} was not written by this workbench (no {PAYLOAD_KEY!r} inside)")
    payload = content[PAYLOAD_KEY]
    version = payload.get("schema_version") if isinstance(payload, dict) else None
    if type(version) is not int or version != SCHEMA_VERSION:
        words = f"checkpoint {path} has schema {shown(str(version))}, this program reads {SCHEMA_VERSION}"
        raise FormatError(f"{words}; use a newer workbench")
    what = f"checkpoint {path}"
    require_plain(payload, what)
    for key, kinds in {"metrics": (dict,), "dataset": (dict,), "config": (str,)}.items():
        if not isinstance(payload.get(key), kinds):
            raise damaged(path, f"{key} is {_kind(payload.get(key))}")
    for key in ("decisive", "pretrained", "codebook"):
        if not isinstance(payload.get(key), dict | None):
            raise damaged(path, f"{key} is {_kind(payload.get(key))}")
    _require_figures(payload["metrics"], path)
    _require_start(payload.get("pretrained"), path)
    _require_state(content.get("state_dict"), path)


def stored_config(content: dict[str, Any], path: Path, trust: Collection[str] = ()) -> dict[str, Any]:
    """Return the configuration of a checkpoint's run, nothing in it resolved.

    Args:
        content: of the checkpoint.
        path: of the checkpoint, for messages.
        trust: packages or classes that it may name besides those of this workbench.
    Raises:
        FormatError: if it is damaged, lacks what is needed of it, or names a class that is neither ours nor trusted.
    """
    config = from_yaml(content[PAYLOAD_KEY]["config"], f"the configuration in {path}")
    require_known_targets(config, f"the configuration in {path}", trust)
    for key, kinds in CONFIG_KINDS.items():
        value = select(config, key)
        if not isinstance(value, kinds) or isinstance(value, bool) or _has_lines(value):
            raise FormatError(f"the configuration in {path} is damaged: {key} is {_kind(value)}; get the file again")
    return config


def stored_dataset(content: dict[str, Any], path: Path) -> DatasetDescription:
    """Return the description of the dataset that a checkpoint was trained on.

    Raises:
        FormatError: if it is damaged.
    """
    plain = content[PAYLOAD_KEY]["dataset"]
    require_plain(plain, f"the dataset's description in {path}", is_finite=True)
    try:
        description = DatasetDescription.from_plain(plain)
        problem = _problem_of(description)
    except (KeyError, TypeError, ValueError, AttributeError, ConfigError) as error:
        problem = f"{type(error).__name__} {first_line(error)}"
    if problem:
        raise damaged(path, f"the dataset's description: {problem}")
    return description


def stored_codebook(content: dict[str, Any], path: Path) -> CodebookRecord | None:
    """Return what a checkpoint says of the codebook of its run; None for older ones, and where there is none.

    Raises:
        FormatError: if it is damaged.
    """
    plain = content[PAYLOAD_KEY].get("codebook")
    return None if plain is None else CodebookRecord.from_plain(plain, f"checkpoint {path}")


def steps_done(content: dict[str, Any]) -> int:
    """Return the generator updates behind a checkpoint's weights."""
    return int(content["state_dict"][STEPS])


def require_optimizers(content: dict[str, Any], path: Path, shapes: Sequence[Sequence[tuple[int, ...]] | None]) -> None:
    """Check that the states of optimizers are whole, and those of parameters of these shapes.

    Args:
        content: of the checkpoint.
        path: of the checkpoint, for messages.
        shapes: of the parameters of each network, in the order of its optimizer; None where that is not looked at.
    Raises:
        FormatError: in one line, if one is missing or damaged.
    """
    states = content.get("optimizer_states")
    if not isinstance(states, list) or len(states) < len(shapes):
        raise damaged(path, "it holds no states of its optimizers")
    for state, wanted in zip(states, shapes, strict=False):
        problem = _problem_of_optimizer(state, wanted)
        if problem:
            raise damaged(path, f"the state of an optimizer: {problem}")


def _problem_of_optimizer(state: Any, shapes: Sequence[tuple[int, ...]] | None) -> str:
    moments, groups = (state.get(key) if isinstance(state, dict) else None for key in ("state", "param_groups"))
    if not isinstance(moments, dict) or not isinstance(groups, list) or not groups:
        return "it is no table of moments and groups"
    for group in groups:
        parameters = group.get("params") if isinstance(group, dict) else None
        if not isinstance(parameters, list) or not all(type(index) is int for index in parameters):
            return "a group names no parameters"
        if any(type(group.get(key, 0.0)) not in (int, float) for key in ("lr", "initial_lr", "eps", "weight_decay")):
            return "a group has a setting of a wrong kind"
    if shapes is None:
        return ""
    if sorted(index for group in groups for index in group["params"]) != list(range(len(shapes))):
        return f"it has other parameters than the {len(shapes)} of its network"
    for index, values in moments.items():
        if type(index) is not int or not 0 <= index < len(shapes) or not isinstance(values, dict):
            return f"{shown(str(index))} is no parameter"
        tensors = [value for value in values.values() if isinstance(value, Tensor)]
        if any(value.numel() != 1 and tuple(value.shape) != shapes[index] for value in tensors):
            return f"moments of parameter {index} have another shape than it"
    return ""


def _problem_of(description: DatasetDescription) -> str:
    """Return what is of another kind than it must be; empty if nothing is."""
    names = description.speaker_names
    is_named = all(isinstance(name, str) and name and not _has_lines(name) for name in names)
    if not names or not is_named or len(set(names)) != len(names):
        return "its speakers are missing, unnamed or named twice"
    for speaker in description.speakers:
        numbers = (speaker.minutes, speaker.held_out_minutes, speaker.f0_median_hz or 0.0)
        if not all(type(number) in (int, float) for number in numbers):
            return f"speaker {shown(speaker.name)} has a value of a wrong kind"
    for name in ("content", "f0_hz"):
        feature = description.features[name]
        if not isinstance(feature.identity, dict) or not isinstance(feature.config, dict):
            return f"feature {name} has no identity or configuration"
        if not isinstance(feature.fingerprint, str):
            return f"feature {name} has no fingerprint"
    if type(description.content.dim) is not int or description.content_dim < 1:
        return f"its content has {_kind(description.content.dim)} values a frame"
    if not isinstance(description.files, dict) or not isinstance(description.files.get("manifest"), str):
        return "its manifest is not named"
    if description.teacher is not None:
        stated = asdict(description.teacher)
        if not all(isinstance(stated[key], str) for key in ("name", "file", "sha256", "speaker", "licence", "consent")):
            return "its teacher is not described by texts"
    return ""


def _require_figures(metrics: dict[Any, Any], path: Path) -> None:
    wrong = next((key for key, value in metrics.items() if type(value) not in (int, float)), None)
    if wrong is not None:
        raise damaged(path, f"the figure {shown(str(wrong))} is {_kind(metrics[wrong])}")


def _require_start(pretrained: dict[Any, Any] | None, path: Path) -> None:
    for network, file in (pretrained or {}).items():
        if not isinstance(file, dict) or not all(isinstance(file.get(key), str) for key in ("file", "sha256")):
            raise damaged(path, f"what it says of its pretrained {shown(str(network))} is {_kind(file)}")


def _require_state(state: Any, path: Path) -> None:
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise damaged(path, "it holds no table of weights")
    steps = state.get(STEPS)
    if steps is None or steps.numel() != 1 or steps.is_complex() or not 0 <= float(steps) <= MAX_STEPS:
        raise damaged(path, f"{STEPS} is no number of updates")


def require_finite_weights(state: dict[str, Tensor], path: Path) -> None:
    """Check the weights of a voice that is to be used.

    Raises:
        FormatError: if one holds NaN or infinity.
    """
    for name, value in state.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise FormatError(f"checkpoint {path}: {shown(name)} holds NaN or infinity; take an earlier save")


def _has_lines(value: Any) -> bool:
    return isinstance(value, str) and len(value.splitlines()) > 1


def _kind(value: Any) -> str:
    if value is None:
        return "missing"
    return shown(str(value)) if isinstance(value, int | float | str) else f"a {type(value).__name__}"


def damaged(path: Path, reason: str) -> FormatError:
    """Return the error for a part of a checkpoint that is not as it was written."""
    return FormatError(f"checkpoint {path} is damaged: {reason}; get it again, or take another save of the run")
