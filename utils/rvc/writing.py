"""The contents of files that RVC-WebUI and Applio read: a shared voice, and a pair to resume training from."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from utils.rvc.layout import (
    POSTERIOR,
    PUBLISHED_SPEAKERS,
    SPEAKER_TABLE,
    Order,
    Published,
    legacy_name,
    published_order,
    shapes_of,
)
from utils.rvc.reading import OWN_KEY, F0Convention

MOMENTS = ("step", "exp_avg", "exp_avg_sq")
PUBLISHED_BETAS, PUBLISHED_EPS = (0.8, 0.99), 1e-9


@dataclass(frozen=True, kw_only=True)
class VoiceRecord:
    """What a file says about its weights.

    Attributes:
        speakers: names of the rows of the speaker table.
        embedder: name of the content encoder, as the programs spell it.
        dataset_seconds: length of the training data.
        created: time of writing in ISO 8601.
        own: further plain data, kept under OWN_KEY.
    """

    name: str
    published: Published
    has_f0: bool
    epoch: int
    step: int
    speakers: tuple[str, ...]
    embedder: str
    f0_convention: F0Convention
    dataset_seconds: float
    created: str
    own: dict[str, Any]

    def own_record(self) -> dict[str, Any]:
        """Return what stands under OWN_KEY."""
        return {
            "schema_version": 1,
            "f0_convention": self.f0_convention,
            "embedder": self.embedder,
            "speakers": list(self.speakers),
            "step": self.step,
            **self.own,
        }


def voice_content(weights: Mapping[str, Tensor], record: VoiceRecord) -> dict[str, Any]:
    """Return the content of a shared voice: half precision, no posterior, the fields of both programs.

    Args:
        weights: the generator's, under the names of files.
        record: what the fields say.
    """
    shared = {name: weights[name].half().contiguous() for name in _in_order(weights) if not name.startswith(POSTERIOR)}
    rate = record.published.sample_rate
    seconds = round(record.dataset_seconds)
    return {
        "weight": shared,
        "config": record.published.config_list(shapes_of(shared)),
        "info": f"{record.epoch}epoch",
        "sr": f"{rate // 1000}k",  # RVC-WebUI's spelling; both programs take the rate from the end of config
        "f0": int(record.has_f0),
        "version": record.published.version,
        "epoch": record.epoch,
        "step": record.step,
        "creation_date": record.created,
        "model_hash": weights_sha256(shared),
        "dataset_length": f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}",
        "model_name": record.name,
        "author": "not stated",
        "embedder_model": record.embedder,
        "speakers_id": len(record.speakers),
        "vocoder": record.published.vocoder,
        # as rvc-next reads it; of 18 values in "config", w-okada's kind reads no names
        "speaker_info": [{"id": row, "name": name} for row, name in enumerate(record.speakers)],
        OWN_KEY: record.own_record(),
    }


def training_content(
    weights: Mapping[str, Tensor], optimizer: dict[str, Any], record: VoiceRecord, *, learning_rate: float
) -> dict[str, Any]:
    """Return the content of G_*.pth or D_*.pth.

    Args:
        weights: of one network, under the names of files.
        optimizer: made by optimizer_content.
        record: what is known of the training.
        learning_rate: of the configuration, which is what the programs write there.
    """
    return {
        "model": {name: weights[name].float().contiguous() for name in _in_order(weights)},
        "iteration": max(1, record.epoch),  # the programs count epochs from 1
        "optimizer": optimizer,
        "learning_rate": learning_rate,
        OWN_KEY: record.own_record(),
    }


def optimizer_content(
    state: Mapping[str, Any], own_order: Sequence[str], order: Order | None, num_speakers: int
) -> dict[str, Any]:
    """Return an AdamW state that a program's optimizer loads.

    An optimizer numbers its parameters in the order in which the network registers them. The programs register the
    generator's differently, so that its moments fit one of them.

    Args:
        state: state_dict of our optimizer.
        own_order: names of our parameters in our optimizer's order.
        order: whose numbering to write; None writes no moments, which every program can load.
        num_speakers: rows of the speaker table in the file; rows that we have not begin without moments.
    """
    names = published_order([legacy_name(name) for name in own_order], order or "rvc_webui")
    position = {legacy_name(name): index for index, name in enumerate(own_order)}
    group = state["param_groups"][0]
    moments: dict[int, dict[str, Tensor]] = {}
    if order is not None:
        for index, name in enumerate(names):
            kept = state["state"].get(position[name])
            if kept is not None and all(key in kept for key in MOMENTS):
                moments[index] = {key: torch.as_tensor(kept[key]).float().cpu() for key in MOMENTS}
                if name == SPEAKER_TABLE:
                    moments[index] = {
                        key: value if key == "step" else with_rows(value, num_speakers, fill=0.0)
                        for key, value in moments[index].items()
                    }
    settings = {
        "lr": float(group["lr"]),
        "betas": tuple(float(beta) for beta in group.get("betas", PUBLISHED_BETAS)),
        "eps": float(group.get("eps", PUBLISHED_EPS)),
        "weight_decay": float(group.get("weight_decay", 0.01)),
        "amsgrad": False,
        "maximize": False,
        "foreach": None,
        "capturable": False,
        "differentiable": False,
        "fused": None,
        "decoupled_weight_decay": True,
        # their schedules, continued at a later epoch, look for it
        "initial_lr": float(group.get("initial_lr", group["lr"])),
    }
    return {"state": moments, "param_groups": [{**settings, "params": list(range(len(names)))}]}


def with_published_speakers(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights with the 109 rows of speakers that the programs' training expects.

    Rows that are not ours hold the mean of ours. A table that is larger stays as it is.
    """
    table = weights[SPEAKER_TABLE].float()
    return {**weights, SPEAKER_TABLE: with_rows(table, max(PUBLISHED_SPEAKERS, len(table)), fill=None)}


def with_rows(table: Tensor, count: int, *, fill: float | None) -> Tensor:
    """Append rows to [S, C] up to [count, C]: of one value, or of the mean row."""
    more = count - len(table)
    if more <= 0:
        return table
    row = table.mean(dim=0, keepdim=True) if fill is None else torch.full_like(table[:1], fill)
    return torch.cat([table, row.expand(more, -1)])


def weights_sha256(weights: Mapping[str, Tensor]) -> str:
    """Return a digest of names and values."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode("utf-8"))
        digest.update(weights[name].contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()


def _in_order(weights: Mapping[str, Tensor]) -> list[str]:
    return published_order(weights, "rvc_webui")
