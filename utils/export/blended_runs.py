"""Runs of ours blended into one voice, or speakers of one run into a new one, as content of a checkpoint."""

import copy
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from utils.config import select
from utils.errors import ConfigError
from utils.export.blending import (
    Blend,
    mean_pitch,
    mean_row,
    mean_state,
    mixed_entries,
    require_alike,
    speaker_table,
)
from utils.features.retrieval import CodebookRetrieval
from utils.training.checkpoint_checks import (
    PAYLOAD_KEY,
    STEPS,
    require_finite_weights,
    steps_done,
    stored_codebook,
    stored_config,
    stored_dataset,
)
from utils.training.checkpoints import TrainedVoice, checkpoint_path, read_checkpoint, voice_of, voice_state
from utils.training.codebook import read_codebook
from utils.voice_file.speakers import speaker_number

Which = Literal["best", "last", "previous"]


def read_voice(run: Path, which: str, blend: Blend | None, trust: Collection[str] = ()) -> tuple[Path, dict[str, Any]]:
    """Return the checkpoint of a run and its content, blended where that is asked for.

    Args:
        run: its folder; of blended runs that with the largest share.
        which: "best", "last" or "previous".
        blend: of runs, or of speakers of this one; None for the run as it is.
        trust: see load_voice.
    Raises:
        ConfigError: if a run is absent, or what is blended does not fit.
        FormatError: if a checkpoint is damaged.
    """
    path = checkpoint_path(run, which)
    content = read_checkpoint(path)
    if blend is None:
        return path, content
    if blend.kind == "speakers":
        return path, _with_new_speaker(content, path, blend)
    return path, _mean_of_runs(content, path, which, blend, trust)


def load_blended_voice(
    run: Path, which: Which, blend: Blend, io_rate: int | None, *, trust: Collection[str], with_codebook: bool
) -> TrainedVoice:
    """Load a blend as load_voice loads a run; its codebook has entries of all that is blended, by their shares."""
    path, content = read_voice(run, which, blend, trust)
    voice = voice_of(run, path, io_rate, trust=trust, with_codebook=False, content=content)
    if with_codebook:
        voice.converter.retrieval = _mixed_retrieval(run, which, blend)
    return replace(voice, blend=blend.by_file_name())


def blended_row(names: list[str], blend: Blend, what: str) -> tuple[list[int], list[float]]:
    """Return the numbers and shares of the speakers that a blend names."""
    wanted = [int(name) if name.isdecimal() and name not in names else name for name in blend.shares]
    rows = [speaker_number(name, names, "blend", what) for name in wanted]
    if len(set(rows)) < len(rows):
        raise ConfigError(f"blend={blend} names a speaker of {what} twice; give each one share")
    return rows, list(blend.shares.values())


def name_of(names: list[str]) -> str:
    """Return what the blend of speakers of these names is called."""
    return "+".join(dict.fromkeys(names))


def _mean_of_runs(
    content: dict[str, Any], path: Path, which: str, blend: Blend, trust: Collection[str]
) -> dict[str, Any]:
    contents = {name: read_checkpoint(checkpoint_path(Path(name), which)) for name in blend.shares}
    for name, other in contents.items():
        _require_same_kind((content, other), (blend.heaviest, name), path, trust)
    states = {name: voice_state(other["state_dict"]) for name, other in contents.items()}
    for name, state in states.items():
        require_finite_weights(state, checkpoint_path(Path(name), which))
    heaviest = {blend.heaviest: states[blend.heaviest]}
    require_alike(heaviest | states)
    shares = list(blend.shares.values())
    content = _with_weights(content, mean_state(list(states.values()), shares))
    speakers = content[PAYLOAD_KEY]["dataset"]["speakers"]
    theirs = [stored_dataset(other, path).speakers for other in contents.values()]
    for row, speaker in enumerate(speakers):
        used = [item[row] for item, share in zip(theirs, shares, strict=True) if share > 0.0]
        speaker["name"] = name_of([item.name for item in used])
        speaker["f0_median_hz"] = mean_pitch([item[row].f0_median_hz for item in theirs], shares)
    return content


def _require_same_kind(
    contents: tuple[dict[str, Any], dict[str, Any]], names: tuple[str, str], path: Path, trust: Collection[str]
) -> None:
    configs = [stored_config(content, path, trust) for content in contents]
    datasets = [stored_dataset(content, path) for content in contents]
    facts = (
        ("are of different models", [config["model"] for config in configs], "model"),
        ("have different rates", [select(config, "audio.sample_rate") for config in configs], "audio"),
        ("listen to different content encoders", [dataset.content.identity for dataset in datasets], "content"),
        ("have different f0 in unvoiced frames", [dataset.f0_convention for dataset in datasets], "pitch"),
        ("have different numbers of speakers", [len(dataset.speakers) for dataset in datasets], "speakers"),
    )
    for words, (ours, theirs), key in facts:
        if ours != theirs:
            remedy = "; blend speakers of one run with run=" if key == "speakers" else ""
            raise ConfigError(
                f"blend: {names[0]} and {names[1]} {words}; only voices of one kind can be blended{remedy}"
            )


def _with_new_speaker(content: dict[str, Any], path: Path, blend: Blend) -> dict[str, Any]:
    dataset = stored_dataset(content, path)
    rows, shares = blended_row(dataset.speaker_names, blend, str(path))
    state = voice_state(content["state_dict"])
    require_finite_weights(state, path)
    table = speaker_table(state, str(path))
    if len(state[table]) != len(dataset.speakers):
        raise ConfigError(f"{path} has a table of {len(state[table])} speakers for {len(dataset.speakers)}")
    row = mean_row(state[table], rows, shares)
    content = _with_weights(content, {**state, table: torch.cat([state[table], row])})
    chosen = [dataset.speakers[number] for number in rows]
    name = name_of([speaker.name for speaker in chosen])
    if name in dataset.speaker_names:
        raise ConfigError(f"blend={blend}: {path} has a speaker {name!r} already; rename one of them")
    pitch = mean_pitch([speaker.f0_median_hz for speaker in chosen], shares)
    content[PAYLOAD_KEY]["dataset"]["speakers"].append({"name": name, "f0_median_hz": pitch})
    return content


def _with_weights(content: dict[str, Any], weights: dict[str, Tensor]) -> dict[str, Any]:
    """Return a checkpoint's content with other weights of the voice, of which no figure was measured."""
    state = {f"{prefix}.{name}": value for prefix in ("generator", "averaged") for name, value in weights.items()}
    steps = torch.tensor(steps_done(content))
    payload = copy.deepcopy({**content[PAYLOAD_KEY], "metrics": {}})
    return {**content, "state_dict": {**state, STEPS: steps}, PAYLOAD_KEY: payload}


def _mixed_retrieval(run: Path, which: str, blend: Blend) -> CodebookRetrieval | None:
    """Return a codebook whose entries are shared out as the blend is; None where one of the voices has none."""
    if blend.kind == "speakers":
        found = _codebook(run, which)
        if found is None:
            return None
        names = stored_dataset(read_checkpoint(checkpoint_path(run, which)), run).speaker_names
        rows, shares = blended_row(names, blend, str(run))
        return CodebookRetrieval(torch.cat([found, mixed_entries([found[row] for row in rows], shares)[None]]))
    used = {name: share for name, share in blend.shares.items() if share > 0.0}
    books = [_codebook(Path(name), which) for name in used]
    known = [book for book in books if book is not None]
    if len(known) < len(books):
        return None
    shares = list(used.values())
    rows_of = zip(*known, strict=True)
    return CodebookRetrieval(torch.stack([mixed_entries(list(entries), shares) for entries in rows_of]))


def _codebook(run: Path, which: str) -> Tensor | None:
    path = checkpoint_path(run, which)
    retrieval = read_codebook(run, stored_codebook(read_checkpoint(path), path), str(path))
    return None if retrieval is None else retrieval.codebook
