"""The front end of a dataset or a run, from what their files say of its encoder and tracker."""

import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any

from torch import nn

from utils.config.plain_data import shown
from utils.config.stored_objects import StoredObject
from utils.corpus.description import DatasetDescription, FeatureDescription
from utils.errors import ConfigError, FormatError
from utils.features.content.base import ContentEncoder
from utils.features.content.hubert_files import HUB_PREFIX, cached_from_hub
from utils.features.frontend import AnalysisFrontend
from utils.features.pitch.base import PitchTracker
from utils.rvc.bounded_size import bounded_size

MOST_ENCODER_VALUES = 2**31  # the largest HuBERT has half as many
log = logging.getLogger(__name__)


def stored_frontend(
    dataset: DatasetDescription,
    path: Path,
    owner: str,
    rate: int,
    *,
    for_export: bool = True,
    trust: Collection[str] = (),
) -> AnalysisFrontend:
    """Return the encoder and the tracker whose features a dataset holds, as one module.

    Args:
        dataset: the description.
        path: the file that says so, for messages.
        owner: the run or dataset, for messages.
        rate: of the audio that will be given.
        for_export: whether it must fit into a graph.
        trust: modules beside ours whose classes may be built.
    Raises:
        ConfigError: if the encoder here is another one, or fits in no graph.
        FormatError: if it names a class that is neither ours nor trusted, or says another size of content.
    """
    encoder_node, tracker_node = frontend_objects(dataset, path, trust)
    with bounded_size(MOST_ENCODER_VALUES, str(path)):
        encoder: ContentEncoder = encoder_node.build(ContentEncoder)
    trained = dataset.content.identity
    if encoder.identity != trained:
        raise ConfigError(
            f"{owner} was made with content features of {named_identity(trained, encoder.identity)}, but the "
            f"encoder here is {named_identity(encoder.identity, trained)}; restore those weights or prepare and train "
            "again"
        )
    if encoder.dim != dataset.content_dim:
        raise FormatError(f"{path} says {dataset.content_dim} values of content, its encoder {encoder.dim}")
    if for_export and not encoder.is_exportable:
        raise ConfigError(f"the content encoder {encoder.identity['id']} cannot stand inside an exported graph")
    return AnalysisFrontend(encoder, _tracker(owner, dataset.pitch, tracker_node), rate)


def frontend_objects(
    dataset: DatasetDescription, path: Path, trust: Collection[str] = ()
) -> tuple[StoredObject, StoredObject]:
    """Return what builds encoder and tracker; nothing is built.

    Raises:
        FormatError: if one is of a class that is neither ours nor trusted.
    """
    return (
        StoredObject.of(_from_cache(dataset.content.config), "content", str(path), trust),
        StoredObject.of(dataset.pitch.config, "pitch", str(path), trust),
    )


def _tracker(owner: str, feature: FeatureDescription, node: StoredObject) -> nn.Module:
    """Return the tracker of a voice's graph, from what the dataset says of its f0."""
    tracker: Any = node.build(PitchTracker)
    if not tracker.is_exportable:
        name = tracker.identity["id"]
        log.warning("pitch tracker %s cannot stand inside a graph; the graph uses pitch=builtin", name)
        from utils.features.pitch.swift import builtin_tracker

        return builtin_tracker()
    trained = feature.identity
    if tracker.identity != trained:
        log.warning(
            "%s was made with the pitch of %s, the tracker here is %s; what it finds differs a little",
            owner, named_identity(trained, tracker.identity), named_identity(tracker.identity, trained),
        )  # fmt: skip
    module: nn.Module = tracker
    return module


def _from_cache(config: dict[str, Any]) -> dict[str, Any]:
    """Let an encoder of the hub be taken from what is on this machine: a file does not make this program download."""
    place = config.get("path")
    if not isinstance(place, str) or not place.startswith(HUB_PREFIX):
        return config
    return config | {"path": str(cached_from_hub(place.removeprefix(HUB_PREFIX)))}


def named_identity(identity: dict[str, Any], other: dict[str, Any]) -> str:
    """Return the encoder's name and weights, and the settings in which it differs from another one of its kind."""
    settings = sorted(map(str, (identity | other).keys() - {"id", "weights_sha256", "dim"}))
    settings = settings if identity.get("id") == other.get("id") else []
    differing = [f"{key}={identity.get(key, 'default')}" for key in settings if identity.get(key) != other.get(key)]
    name, version = identity.get("id"), identity.get("weights_sha256", identity.get("version", ""))
    words = f"{shown(str(name))} {shown(str(version)[:12])}"
    return words + (f" with {shown(', '.join(differing))}" if differing else "")
