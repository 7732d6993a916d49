"""Weights from which a new run starts: ours, of recipes.base_voice, and those of RVC."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from models.base import BaseVoiceConversionModel
from utils.config.plain_data import shown
from utils.config.train import TrainJob
from utils.corpus.description import DatasetDescription
from utils.errors import ConfigError
from utils.features.identity import weights_of_features
from utils.files import sha256_of_json
from utils.rvc.safetensors_voice import is_voice
from utils.shipped import ROOT, checked_sha256, find_shipped
from utils.training.rvc_weights import Speakers, load_rvc_weights

CONTENT_HASH = "content_weights_sha256"  # in the metadata of our files
CONTENT_IDENTITY = "content_identity_sha256"  # there too, since version 8 of the base
RVC_SUFFIXES = (".pth", ".pt")
SPEAKER_TABLE = "speaker.weight"
ALL_SPEAKERS = "all"  # of pretrained.speakers: row by row, for a dataset of the same speakers
FITTED_SPEAKERS = "fitted"  # there too: the mix of the file's speakers that is nearest to the recordings


def load_pretrained(
    network: torch.nn.Module,
    file: str,
    name: str,
    dataset: DatasetDescription,
    *,
    speakers: Speakers = None,
    fresh_posterior: bool = False,
) -> str:
    """Start a network from weights; by default, speaker tables start at the mean of the speakers of a file of ours.

    Every other tensor must exist with the same shape on both sides.

    Args:
        network: generator or discriminator to fill in place.
        file: safetensors file of ours or .pth of RVC, see find_pretrained.
        name: configuration key for messages, e.g. "pretrained.generator".
        dataset: the training data.
        speakers: in a file of ours "all" for the same speakers as the file's; for a .pth, see load_rvc_weights.
        fresh_posterior: for a .pth, see load_rvc_weights.
    Returns:
        One line that says what was taken.
    Raises:
        ConfigError: if the file is absent, does not fit, was trained on other content features or does not say
            on which.
        FormatError: if a .pth is not safe or not whole, or a shipped file is not what it was.
    """
    path = find_pretrained(file, name)
    if path.suffix in RVC_SUFFIXES or is_voice(path):
        return load_rvc_weights(network, path, name, dataset, speakers=speakers, fresh_posterior=fresh_posterior)
    if fresh_posterior:
        raise ConfigError(f"pretrained.fresh_posterior belongs to a .pth of RVC, not to {name}={file}")
    if speakers not in (None, "mean", ALL_SPEAKERS, FITTED_SPEAKERS):
        raise ConfigError(
            f"pretrained.speakers={speakers}: rows of a speaker table are chosen in a .pth of RVC, not in "
            f"{name}={file}; allowed: mean, {FITTED_SPEAKERS}, null, "
            f"or {ALL_SPEAKERS} where the dataset has the file's speakers"
        )
    theirs, metadata = _read_pretrained(path, name)
    _require_same_content(metadata, dataset, f"{name}={file}")
    note = _fit_speaker_table(network, theirs, f"{name}={file}", keep=speakers == ALL_SPEAKERS)
    note += network.fit_weights(theirs) if isinstance(network, BaseVoiceConversionModel) else ""
    _check_same_tensors(network, theirs, f"{name}={file}")
    network.load_state_dict(theirs)
    return f"{name}: {len(theirs)} tensors from {path.name}{note}"


def content_identity(identity: dict[str, Any]) -> str:
    """Return a hash of what names an encoder with its settings; the look-ahead may be another one than in training."""
    return sha256_of_json({key: value for key, value in identity.items() if key != "look_ahead"})


def find_pretrained(file: str, name: str) -> Path:
    """Return the file of weights that a configuration names.

    Args:
        file: name of a shipped file, which is always the project's own; any other relative path is looked up from the
            working folder, then from the project's root.
        name: configuration key for messages.
    Raises:
        ConfigError: if there is none.
    """
    shipped = find_shipped(file)
    if shipped is not None:
        return shipped
    place = Path(file).expanduser()
    path = next((folder / place for folder in (Path(), ROOT) if (folder / place).is_file()), None)
    if path is None:
        raise ConfigError(
            f"{name}={file} is not a file; allowed: a .safetensors file, a .pth file of RVC or pretrained=none"
        )
    return path


def speaker_rows(file: str, name: str) -> Tensor:
    """Return the speakers [S, C] of a file of ours.

    Raises:
        ConfigError: if it has none.
    """
    path = find_pretrained(file, name)
    tensors = {} if path.suffix in RVC_SUFFIXES else _read_pretrained(path, name)[0]
    if SPEAKER_TABLE not in tensors:
        raise ConfigError(
            f"{name}={file} has no table of speakers, of which pretrained.speakers={FITTED_SPEAKERS} makes a mix"
        )
    return tensors[SPEAKER_TABLE]


def pretrained_files(job: TrainJob) -> dict[str, dict[str, str]]:
    """Return name and SHA-256 of the weights that a new run starts from, by network; empty for a random start.

    Raises:
        ConfigError: if a file is absent.
        FormatError: if a shipped file is not what it was.
    """
    files = {"generator": job.pretrained.generator}
    if job.discriminator:
        files["discriminator"] = job.pretrained.discriminator
    found = {network: find_pretrained(file, f"pretrained.{network}") for network, file in files.items() if file}
    return {network: {"file": path.name, "sha256": checked_sha256(path)} for network, path in found.items()}


def _read_pretrained(path: Path, name: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    checked_sha256(path)
    try:
        with safe_open(str(path), framework="pt") as stream:
            keys = stream.keys()
            theirs = {key: stream.get_tensor(key).float() for key in keys}
            metadata = dict(stream.metadata() or {})
    except (SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ConfigError(f"{name}={path} is not a complete safetensors file ({reason})") from error
    infinite = [key for key, value in theirs.items() if not bool(torch.isfinite(value).all())]
    if infinite:
        raise ConfigError(f"{name}={path} holds NaN or infinity in {shown(infinite[0])}; get the file again")
    return theirs, metadata


def _require_same_content(metadata: dict[str, str], dataset: DatasetDescription, what: str) -> None:
    """Check that a file of ours was trained on the content features of the dataset."""
    wanted = metadata.get(CONTENT_HASH)
    if wanted is None:
        raise ConfigError(
            f"{what} does not say which content features it was trained on (no {CONTENT_HASH} in its metadata); "
            "give a file of python -m recipes.base_voice, or type pretrained=none"
        )
    identity = dataset.content.identity
    have = str(identity.get("weights_sha256", ""))
    if wanted == have and metadata.get(CONTENT_IDENTITY) not in (None, content_identity(identity)):
        raise ConfigError(
            f"{what} was trained on content features of the same encoder with other settings than those of the "
            "dataset (content.* of preprocess.py); prepare it with those, or type pretrained=none"
        )
    if wanted != have and wanted not in weights_of_features(identity):
        raise ConfigError(
            f"{what} was trained on content features of {wanted[:12] or 'another encoder'}, the dataset has "
            f"those of {have[:12] or 'another encoder'}; prepare it with content=builtin or type pretrained=none"
        )


def _fit_speaker_table(network: torch.nn.Module, theirs: dict[str, Tensor], what: str, *, keep: bool) -> str:
    ours = network.state_dict()
    table = SPEAKER_TABLE
    if table not in ours or table not in theirs:
        return ""
    count, rows = ours[table].shape[0], theirs[table].shape[0]
    if keep:
        if count != rows:
            raise ConfigError(
                f"pretrained.speakers={ALL_SPEAKERS}: the dataset has {count} speaker(s), {what} has {rows}; type "
                "pretrained.speakers=mean"
            )
        return f"; each of its {rows} speaker(s) stays"
    mean = theirs[table].mean(dim=0, keepdim=True)
    note = f"; {count} speaker(s) start at the mean of the file's {rows}"
    theirs[table] = mean.expand(count, -1).clone()
    return note


def _check_same_tensors(network: torch.nn.Module, theirs: dict[str, Tensor], what: str) -> None:
    ours = network.state_dict()
    missing, unexpected = sorted(set(ours) - set(theirs)), sorted(set(theirs) - set(ours))
    wrong = [
        f"{key} {tuple(theirs[key].shape)} instead of {tuple(ours[key].shape)}"
        for key in sorted(ours.keys() & theirs.keys())
        if theirs[key].shape != ours[key].shape
    ]
    if missing or unexpected or wrong:
        details = [f"missing {missing[:3]}"] * bool(missing) + [f"unexpected {unexpected[:3]}"] * bool(unexpected)
        reason = "; ".join(details + wrong[:3])
        raise ConfigError(f"{what} does not fit this model: {reason}; choose the model it was made for")
